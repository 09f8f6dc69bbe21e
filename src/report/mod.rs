//! The report of a backfill, dry run or verification (SPEC §9): what was read and written, totals before and after, data
//! quality, known problems, validation.
//!
//! It is gathered on a session of its own once the operation has ended, and stored beside the entry of the log. That it is due
//! is recorded in the commit that begins a backfill ([`store`]): what dies in between is made up for by the next start. A dry
//! run writes nothing, and its report is given to who asked for it. Everything is bounded, and names source rows by their keys
//! and no value (P14).
//!
//! | module | does |
//! |---|---|
//! | [`totals`], [`quality`], [`problems`], [`advice`] | what is in it |
//! | [`store`] | when it is due, and where it is kept |
//! | [`html`], [`chart`] | one page for browser and paper |

pub mod advice;
pub mod chart;
pub mod html;
pub mod problems;
pub mod quality;
pub mod store;
pub mod totals;

use std::collections::BTreeMap;

use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use self::problems::Problem;
use self::quality::Measure;
use self::totals::Totals;
use crate::apply::stored_feeds;
use crate::config::Config;
use crate::error::{Context as _, Result};
use crate::pg::{Client, Db};
use crate::preview::Preview;
use crate::validate::{Validation, validate};

/// What an operation left behind.
#[derive(Debug, Clone, Default, Serialize, Deserialize)]
#[serde(default)]
pub struct Report {
    /// Its entry in the log; a dry run has none.
    pub entry: Option<i64>,
    /// The operation, as in the log.
    pub operation: String,
    /// When it was made.
    pub at: Timestamp,
    /// Of the program.
    pub version: String,
    /// Source rows read.
    pub rows_read: u64,
    /// Rows written, by table.
    pub written: BTreeMap<String, Written>,
    /// What became of the rows of each table, where that was measured.
    #[serde(flatten, skip_serializing_if = "Option::is_none")]
    pub changes: Option<Preview>,
    /// What is there now.
    #[serde(flatten)]
    pub contents: Contents,
    /// What a verification found.
    pub verification: Option<Verification>,
    /// The scorecards of earlier reports, oldest first. Not stored.
    pub trend: Vec<Past>,
}

/// Rows of a target table that were written.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct Written {
    /// Rows that were not there.
    pub inserted: u64,
    /// Rows that differed.
    pub updated: u64,
    /// Rows that went.
    pub deleted: u64,
}

/// What is there at the end.
#[derive(Debug, Clone, Default, Serialize, Deserialize)]
#[serde(default)]
pub struct Contents {
    /// Stored rows by feed.
    pub feeds: Vec<FeedRows>,
    /// The target tables before and after.
    pub totals: BeforeAfter,
    /// The scorecard.
    pub quality: Vec<Measure>,
    /// The inventory.
    pub problems: Vec<Problem>,
    /// The validation pack.
    pub validation: Option<Validation>,
}

/// Totals of the target tables.
#[derive(Debug, Clone, Default, Serialize, Deserialize)]
#[serde(default)]
pub struct BeforeAfter {
    /// Before it; `None` where it wrote nothing, or was interrupted before they were read.
    pub before: Option<Totals>,
    /// After it.
    pub after: Totals,
}

/// The stored rows of a feed.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct FeedRows {
    /// Its name.
    pub name: String,
    /// `contact` or `payment`.
    pub kind: String,
    /// All of them.
    pub rows: u64,
    /// Of them those that `skip` leaves out.
    pub skipped: u64,
    /// Of them those of excluded addresses.
    pub excluded: u64,
}

/// What a verification found.
#[derive(Debug, Clone, Default, Serialize, Deserialize)]
#[serde(default)]
pub struct Verification {
    /// Rows, owners and target rows compared.
    pub checked: u64,
    /// Rows that differ.
    pub differences: u64,
    /// By table.
    pub tables: BTreeMap<String, u64>,
    /// By `table.field`.
    pub columns: BTreeMap<String, u64>,
    /// Rows that kept changing.
    pub unsettled: u64,
    /// Some that differ.
    pub examples: Vec<Differing>,
}

/// A row that differs.
#[derive(Debug, Clone, Default, Serialize, Deserialize)]
#[serde(default)]
pub struct Differing {
    /// Where.
    pub table: String,
    /// What is wrong.
    pub problem: String,
    /// Its id.
    pub id: Option<String>,
    /// The source row.
    pub source_row: Option<String>,
    /// The fields.
    pub fields: Vec<String>,
}

/// The scorecard of an earlier report.
#[derive(Debug, Clone, Default, Serialize, Deserialize)]
#[serde(default)]
pub struct Past {
    /// Its entry.
    pub entry: i64,
    /// When it was made.
    pub at: Timestamp,
    /// Open problems that need a review.
    pub review: u64,
    /// The measures.
    pub quality: Vec<Measure>,
}

impl Report {
    /// Without what is known of the operation.
    #[must_use]
    pub fn new(operation: &str, contents: Contents) -> Self {
        Self {
            operation: operation.to_owned(),
            at: Timestamp::now(),
            version: env!("CARGO_PKG_VERSION").to_owned(),
            contents,
            ..Self::default()
        }
    }

    /// Of a dry run: its changes are those that a real run would make.
    #[must_use]
    pub fn predicted(changes: Preview, contents: Contents) -> Self {
        Self::new("dry-run", contents).with(changes)
    }

    /// With what was measured of the changes.
    #[must_use]
    pub fn with(mut self, changes: Preview) -> Self {
        self.rows_read = changes.estimate.rows;
        let written = changes.tables.iter().map(|(table, rows)| {
            let written =
                Written { inserted: rows.insert, updated: rows.update.total, deleted: rows.delete };
            (table.clone(), written)
        });
        self.written = written.collect();
        self.changes = Some(changes);
        self
    }

    /// Open problems that need a review.
    #[must_use]
    pub fn review(&self) -> u64 {
        self.contents.problems.iter().map(|problem| problem.review).sum()
    }

    /// The measure of this name in earlier reports and this one, oldest first.
    #[must_use]
    pub fn shares(&self, name: &str) -> Vec<f64> {
        let earlier = self.trend.iter().map(|past| past.quality.as_slice());
        let all = earlier.chain([self.contents.quality.as_slice()]);
        all.filter_map(|measures| measures.iter().find(|measure| measure.name == name))
            .map(Measure::share)
            .collect()
    }
}

/// Gathers what is there. Reads the target tables several times, on a session whose planner is free to.
///
/// # Errors
/// Those of both servers.
pub async fn gather(db: &Db, config: &Config, before: Option<Totals>) -> Result<Contents> {
    let client = db.client();
    let stored = stored_feeds(db, config).await?;
    let after = Totals::read(client, &config.target, &config.rules).await?;
    Ok(Contents {
        feeds: feeds(client).await?,
        totals: BeforeAfter { before, after },
        quality: quality::read(client, &config.target).await?,
        problems: problems::read(client, &stored).await?,
        validation: Some(validate(config, db).await?),
    })
}

async fn feeds(client: &Client) -> Result<Vec<FeedRows>> {
    let sql = "select f.name, f.kind, count(r.key) from tributary.feed f \
               left join tributary.source_row r on r.feed = f.number \
               group by f.number, f.name, f.kind order by f.number";
    let rows = client.query(sql, &[]).await.context("target: counting rows")?;
    let left_out = crate::store::row::left_out(client).await?;
    let of = |name: &str, why: &str| {
        let found = left_out.iter().find(|(feed, word, _)| feed == name && word == why);
        found.map_or(0, |(.., rows)| *rows)
    };
    let feed = |row: &tokio_postgres::Row| {
        let name: String = row.get(0);
        FeedRows {
            kind: row.get(1),
            rows: row.get::<_, i64>(2).unsigned_abs(),
            skipped: of(&name, "skipped"),
            excluded: of(&name, "excluded"),
            name,
        }
    };
    Ok(rows.iter().map(feed).collect())
}

impl From<&crate::verify::Report> for Verification {
    /// Values that were asked for on the terminal are left out.
    fn from(found: &crate::verify::Report) -> Self {
        let checked = &found.checked;
        let tables = crate::verify::Table::ALL
            .iter()
            .map(|table| (table.as_str().to_owned(), found.tables.of(*table)));
        let examples = found.examples.iter().take(100).map(|example| Differing {
            table: example.table.as_str().to_owned(),
            problem: example.problem.as_str().to_owned(),
            id: example.id.clone(),
            source_row: example.source_row.clone(),
            fields: example.fields.iter().map(|field| field.field.clone()).collect(),
        });
        Self {
            checked: checked.source_rows
                + checked.owners
                + checked.transactions
                + checked.enrollments,
            differences: found.differences,
            tables: tables.collect(),
            columns: found.columns.clone(),
            unsettled: found.unsettled,
            examples: examples.collect(),
        }
    }
}
