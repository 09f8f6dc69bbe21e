//! `tributary.report`: reports beside the entries of the log, as long as these.
//!
//! | when | what |
//! |---|---|
//! | a backfill begins | the row is there, in the commit of its entry; [`begin`] adds the totals before |
//! | it is done | the row is due ([`pending`]); [`complete`] fills it |
//! | a verification has ended ([`verified`]) | it is stored |

use serde_json::Value;

use super::totals::Totals;
use super::{Past, Report, Verification, Written, gather};
use crate::config::Config;
use crate::connect::connect;
use crate::error::{Context as _, Error, Result};
use crate::pg::{Client, Db, Param};
use crate::preview::Preview;
use crate::store::operation_log::{Journal, Operation};
use crate::targets;
use crate::verify;

const WHAT: &str = "target: the report";
/// Earlier reports that are shown as a trend.
const TREND: i64 = 12;
/// A backfill does not wait longer than this for each total of before, which its report then lacks.
const PATIENCE: &str = "set statement_timeout = '10s'";

/// Notes the totals before a backfill writes, unless they are noted. That it fails never makes the backfill fail.
pub async fn begin(config: &Config, entry: i64) {
    if let Err(error) = note_before(config, entry).await {
        tracing::warn!(%error, "the report of this backfill will have no totals of before");
    }
}

async fn note_before(config: &Config, entry: i64) -> Result<()> {
    let client = open(config).await?;
    client.batch_execute(PATIENCE).await.context(WHAT)?;
    // Only the stages from the sweep on write to the target tables.
    let due = "select exists (select from tributary.report r, tributary.backfill b where r.operation = $1 \
               and r.before is null and b.phase in ('rows', 'recheck', 'emails'))";
    if !client.query_one(due, &[&entry]).await.context(WHAT)?.get::<_, bool>(0) {
        return Ok(());
    }
    let totals = json(&Totals::read(&client, &config.target, &config.rules).await?)?;
    let sql = "update tributary.report set before = $2 where operation = $1";
    client.execute(sql, &[&entry, &totals]).await.context(WHAT).map(drop)
}

/// The newest backfill that is done and has no report yet.
///
/// # Errors
/// Those of the target.
pub async fn pending(db: &Db) -> Result<Option<i64>> {
    let sql = "select r.operation from tributary.report r \
               join tributary.operation_log l on l.id = r.operation \
               where r.report is null and l.outcome = 'done' order by r.operation desc limit 1";
    Ok(db.query(WHAT, sql, &[]).await?.first().map(|row| row.get(0)))
}

/// Makes the report of a backfill that is done, on a session of its own.
///
/// # Errors
/// Those of both servers.
pub async fn complete(config: &Config, entry: i64, changes: Option<Preview>) -> Result<Report> {
    let db = Db::new(open(config).await?);
    let sql = "select r.before, l.detail -> 'written', l.processed, l.operation \
               from tributary.report r join tributary.operation_log l on l.id = r.operation \
               where r.operation = $1";
    let rows = db.query(WHAT, sql, &[&entry]).await?;
    let row = rows.first().ok_or_else(|| Error::failed(WHAT, "its entry is gone"))?;
    let before = row.get::<_, Option<Value>>(0).map(read).transpose()?;
    let mut report = Report::new(row.get(3), gather(&db, config, before).await?);
    report.entry = Some(entry);
    if let Some(changes) = changes {
        report = report.with(changes);
    }
    report.rows_read = row.get::<_, Option<i64>>(2).unwrap_or(0).unsigned_abs();
    if let Some(written) = row.get::<_, Option<Value>>(1) {
        report.add(&read(written)?);
    }
    save(&db, entry, &report).await?;
    Ok(report)
}

/// As [`complete`], of the backfill that has just ended. That it fails never makes the backfill fail.
pub async fn complete_pending(
    config: &Config,
    db: &Db,
    changes: Option<Preview>,
) -> Option<Report> {
    let made = async {
        match pending(db).await? {
            Some(entry) => complete(config, entry, changes).await.map(Some),
            None => Ok(None),
        }
    };
    made.await.unwrap_or_else(|error| {
        tracing::warn!(%error, "the report is made later");
        None
    })
}

/// Verifies, with an entry of the log, and a report beside it where something was found out. Who asked for it, and what of, is in
/// the entry.
///
/// # Errors
/// As [`verify::verify`].
pub async fn verified(
    config: &Config,
    options: verify::Options,
    (asked_by, detail): (Option<&str>, Value),
    show: verify::Show<'_>,
) -> Result<verify::Report> {
    let journal = Journal::begin(config, Operation::Verify, detail, asked_by).await;
    let verified = verify::verify(config, options, show).await;
    let entry = journal.id();
    journal.close(&verified, verify::logged).await;
    let report = verified?;
    after_verification(config, entry, &report).await;
    Ok(report)
}

/// Makes and stores the report of a verification. That it fails never makes the command fail: a role that only reads may
/// verify too.
async fn after_verification(config: &Config, entry: Option<i64>, found: &verify::Report) {
    let Some(entry) = entry else { return };
    let made = async {
        let db = Db::new(open(config).await?);
        let mut report = Report::new("verify", gather(&db, config, None).await?);
        report.entry = Some(entry);
        report.rows_read = found.checked.source_rows;
        report.verification = Some(Verification::from(found));
        save(&db, entry, &report).await
    };
    if let Err(error) = made.await {
        tracing::warn!(%error, "no report of this verification is stored");
    }
}

async fn save(db: &Db, entry: i64, report: &Report) -> Result<()> {
    let sql = "insert into tributary.report (operation, report) values ($1, $2) \
               on conflict (operation) do update set report = excluded.report";
    let params: [Param<'_>; 2] = [&entry, &json(report)?];
    db.execute(WHAT, sql, &params).await.map(drop)
}

/// The report of an entry, or the newest one, with the scorecards before it; `None`: there is none.
///
/// # Errors
/// Those of the target.
pub async fn load(db: &Db, entry: Option<i64>) -> Result<Option<Report>> {
    let sql = "select report from tributary.report \
               where report is not null and ($1::bigint is null or operation = $1) \
               order by operation desc limit 1";
    let rows = db.query(WHAT, sql, &[&entry]).await?;
    let Some(row) = rows.first() else { return Ok(None) };
    let mut report: Report = read(row.get(0))?;
    let before = report.entry.unwrap_or(i64::MAX);
    report.trend = trend(db, before).await?;
    Ok(Some(report))
}

/// Scorecards of the reports before an entry, oldest first.
///
/// # Errors
/// Those of the target.
pub async fn trend(db: &Db, before: i64) -> Result<Vec<Past>> {
    let sql = "select operation, report ->> 'at', report -> 'quality', \
                 (select coalesce(sum((p ->> 'review')::bigint), 0)::bigint \
                  from jsonb_array_elements(report -> 'problems') p) \
               from tributary.report where report is not null and operation < $1 \
               order by operation desc limit $2";
    let rows = db.query(WHAT, sql, &[&before, &TREND]).await?;
    let past = |row: &tokio_postgres::Row| {
        Ok(Past {
            entry: row.get(0),
            at: row.get::<_, &str>(1).parse().unwrap_or_default(),
            quality: read(row.get(2))?,
            review: row.get::<_, i64>(3).unsigned_abs(),
        })
    };
    rows.iter().rev().map(past).collect()
}

async fn open(config: &Config) -> Result<Client> {
    connect(&config.target.server, "tributary report", "target").await
}

fn json(value: &impl serde::Serialize) -> Result<Value> {
    serde_json::to_value(value).map_err(|error| Error::failed("writing a report", error))
}

fn read<T: serde::de::DeserializeOwned>(value: Value) -> Result<T> {
    serde_json::from_value(value).map_err(|error| Error::failed("reading a report", error))
}

impl Report {
    /// Takes over what the backfill counted itself, unless its changes were measured.
    fn add(&mut self, counted: &targets::Report) {
        if self.changes.is_some() {
            return;
        }
        let tables = [
            ("profiles", counted.profiles, 0),
            ("transactions", counted.transactions, counted.deleted),
            ("enrollments", counted.enrollments, 0),
        ];
        let written = tables.map(|(name, rows, deleted)| {
            let written = Written { inserted: rows.inserted, updated: rows.updated, deleted };
            (name.to_owned(), written)
        });
        self.written = written.into();
    }
}
