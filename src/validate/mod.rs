//! The validation pack (SPEC §9): the target looked at with plain SQL, independently of how it is written.
//!
//! `verify` recomputes everything; this asks what a person would: are there as many rows as there should be, do addresses,
//! amounts and references fit together. The queries are readable files that psql runs too ([`pack`]). Nothing is written.

use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

use crate::config::Config;
use crate::connect::connect;
use crate::error::{Context as _, Error, Result};
use crate::pg::{Client, Db};

const WHAT: &str = "target: validating";

/// The pack: a name and a query of point, expected, found, ok.
const PACK: [(&str, &str); 5] = [
    ("row_counts", include_str!("sql/row_counts.sql")),
    ("email_consistency", include_str!("sql/email_consistency.sql")),
    ("finances", include_str!("sql/finances.sql")),
    ("references", include_str!("sql/references.sql")),
    ("business_rules", include_str!("sql/business_rules.sql")),
];

/// One point.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Point {
    /// The part of the pack.
    pub group: String,
    /// What is asked.
    pub point: String,
    /// What is well.
    pub expected: String,
    /// What is there.
    pub found: String,
    /// Whether it is well.
    pub ok: bool,
}

/// What was found.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Validation {
    /// Whether every point is well.
    pub ok: bool,
    /// Points that are not.
    pub failed: usize,
    /// All of them.
    pub points: Vec<Point>,
}

/// Runs the pack in one snapshot, and counts the rows of the feeds beside those that are stored.
///
/// # Errors
/// Those of both servers.
pub async fn validate(config: &Config, db: &Db) -> Result<Validation> {
    let mut points = source_rows(config, db).await?;
    db.batch(WHAT, "begin isolation level repeatable read read only").await?;
    let found = run(config, db).await;
    db.batch(WHAT, "rollback").await?;
    points.extend(found?);
    let failed = points.iter().filter(|point| !point.ok).count();
    Ok(Validation { ok: failed == 0, failed, points })
}

async fn run(config: &Config, db: &Db) -> Result<Vec<Point>> {
    let mut points = Vec::new();
    for (group, sql) in queries(config) {
        for row in db.query(WHAT, &sql, &[]).await? {
            let text = |at: usize| row.get::<_, Option<String>>(at).unwrap_or_default();
            points.push(Point {
                group: group.to_owned(),
                point: text(0),
                expected: text(1),
                found: text(2),
                ok: row.get::<_, Option<bool>>(3).unwrap_or(false),
            });
        }
    }
    Ok(points)
}

/// The pack with the names of the tables in their places: what each query is about, and the query.
#[must_use]
pub fn queries(config: &Config) -> Vec<(&'static str, String)> {
    let sent = |sql: &str| config.target.schema.of(&with_names(config, sql)).into_owned();
    PACK.iter().map(|(group, sql)| (*group, sent(sql))).collect()
}

/// The pack for psql: the variables, then each query.
#[must_use]
pub fn pack(config: &Config) -> String {
    let mut text =
        String::from("-- The validation pack of tributary: point, expected, found, ok.\n");
    for (name, value) in names(config) {
        text.push_str(&format!("\\set {name} '{}'\n", value.replace('\'', "''")));
    }
    let expected = expected(config).to_string().replace('\'', "''");
    text.push_str(&format!("\\set expected '{expected}'\n"));
    for (group, sql) in PACK {
        let sql = config.target.schema.of(sql);
        text.push_str(&format!("\n\\echo {group}\n{};\n", sql.trim_end()));
    }
    text
}

fn names(config: &Config) -> [(&'static str, String); 4] {
    let target = &config.target;
    [
        ("profiles", target.profiles.quoted()),
        ("transactions", target.transactions.quoted()),
        ("enrollments", target.enrollments.quoted()),
        ("courses", target.courses.quoted()),
    ]
}

fn with_names(config: &Config, sql: &str) -> String {
    let lines: Vec<&str> = sql.lines().filter(|line| !line.starts_with("--")).collect();
    let expected = format!("'{}'", expected(config).to_string().replace('\'', "''"));
    let mut sql = lines.join("\n").replace(":'expected'", &expected);
    for (name, value) in names(config) {
        sql = sql.replace(&format!(" :{name}"), &format!(" {value}"));
    }
    sql
}

/// `[validate]` as the queries read it, with the ids of the products.
fn expected(config: &Config) -> Value {
    let wanted = &config.validate;
    let mut all = json!({});
    let ends = |range: &std::ops::RangeInclusive<i64>| json!([range.start(), range.end()]);
    let named = [
        ("people", &wanted.people),
        ("transactions", &wanted.transactions),
        ("enrollments", &wanted.enrollments),
    ];
    for (name, range) in named {
        if let Some(range) = range {
            all[name] = ends(range);
        }
    }
    for (name, map) in [("paid", &wanted.paid), ("totals", &wanted.totals)] {
        for (key, range) in map {
            all[name][key] = ends(range);
        }
    }
    for product in &config.rules.products {
        all["products"][&product.code] = json!(product.id.to_string());
    }
    all
}

/// Rows of the feeds beside those that are stored. While rows come and go, what is stored lies between two counts.
async fn source_rows(config: &Config, db: &Db) -> Result<Vec<Point>> {
    let source = connect(&config.source.server, "tributary validate", "source").await?;
    let before = counts(config, &source).await?;
    let mut points = Vec::new();
    for (feed, least) in config.source.feeds.iter().zip(before) {
        let sql = "select count(r.key) from tributary.feed f \
                   left join tributary.source_row r on r.feed = f.number where f.name = $1";
        let rows = db.query(WHAT, sql, &[&feed.name]).await?;
        let stored: i64 = rows.first().map_or(0, |row| row.get(0));
        let after = count(&source, &feed.table.quoted()).await?;
        let (least, most) = (least.min(after), least.max(after));
        let expected = if least == most { least.to_string() } else { format!("{least} to {most}") };
        points.push(Point {
            group: "row_counts".to_owned(),
            point: format!("every row of {} is stored", feed.name),
            expected,
            found: stored.to_string(),
            ok: (least..=most).contains(&stored),
        });
    }
    Ok(points)
}

async fn counts(config: &Config, source: &Client) -> Result<Vec<i64>> {
    let mut all = Vec::new();
    for feed in &config.source.feeds {
        all.push(count(source, &feed.table.quoted()).await?);
    }
    Ok(all)
}

async fn count(source: &Client, table: &str) -> Result<i64> {
    let sql = format!("select count(*) from {table}");
    let row = source.query_one(&sql, &[]).await.context("source: counting rows")?;
    row.try_get(0).map_err(|error| Error::failed("source: counting rows", error))
}
