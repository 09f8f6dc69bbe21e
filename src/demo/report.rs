//! What a demonstration leaves on the screen.

use std::fmt::Write as _;
use std::time::Duration;

use crate::pg::Client;
use comfy_table::presets::NOTHING;
use comfy_table::{ContentArrangement, Table};
use testkit::traffic::TrafficCount;

use super::DemoFeeds;
use super::samples;
use super::stage::Stage;
use crate::error::{Context as _, Result};
use crate::facts::visible;

/// Longest example in the table of conflicts, in characters.
const EXAMPLE_LENGTH: usize = 100;

const WHAT: &str = "reading what came out";

const COUNTS: &str = "
    select (select count(*) from unified_profiles),
           (select count(*) from transactions),
           (select count(*) from transactions where user_id is not null),
           (select count(*) from enrollments),
           (select count(*) from enrollments where status = 'active')";

const CONFLICTS: &str = "
    select distinct on (severity, kind)
           severity, kind, count(*) over (partition by severity, kind), subject, evidence::text
    from tributary.conflict where status = 'open'
    order by severity desc, kind, id";

/// What was measured on the way.
#[derive(Debug)]
pub(super) struct Measured {
    /// Source rows of the backfill.
    pub(super) rows: u64,
    /// From the daemon's start to its streaming.
    pub(super) backfill: Duration,
    /// What was done to the source.
    pub(super) traffic: TrafficCount,
    /// Longest lag seen, in seconds.
    pub(super) lag: f64,
    /// From the last change to its place in the target.
    pub(super) waited: Duration,
}

/// The whole report.
pub(super) async fn text(stage: &Stage, measured: &Measured) -> Result<String> {
    let mut text = people(stage).await?;
    if stage.feeds == DemoFeeds::More {
        text += &providers(&stage.target).await?;
        text += &left_out(&stage.target).await?;
    }
    text += &conflicts(&stage.target).await?;
    text += &numbers(&stage.target, measured).await?;
    text += "\nNext, with a configuration of your own:\n\n  \
             tributary check                     is everything ready?\n  \
             tributary run                       backfill, then follow the source\n  \
             tributary conflicts list            what a person should look at\n  \
             tributary explain EMAIL             where each value of a person comes from\n";
    Ok(text)
}

async fn people(stage: &Stage) -> Result<String> {
    let mut text = heading("Before and after");
    for person in samples::people(&stage.source, &stage.target, stage.feeds).await? {
        let mut table = table();
        for row in person.before {
            table.add_row(["raw".to_owned(), row.table, row.values]);
        }
        for row in person.after {
            table.add_row(["→".to_owned(), row.table, row.values]);
        }
        let _ = writeln!(text, "{table}\n");
    }
    Ok(text)
}

/// One person through several providers: one profile.
async fn providers(target: &Client) -> Result<String> {
    let mut table = table();
    table.set_header(["person", "provider", "transactions", "products", "status"]);
    let sql = include_str!("sql/several_providers.sql");
    for row in target.query(sql, &[]).await.context(WHAT)? {
        let (email, provider, count): (&str, &str, i64) = (row.get(0), row.get(1), row.get(2));
        let products: Option<&str> = row.get(3);
        let cells = [email, provider, &count.to_string(), products.unwrap_or_default(), row.get(4)];
        table.add_row(cells.map(visible));
    }
    let sql = "select count(*) from (select from transactions where user_id is not null group by user_id \
               having count(distinct payment_provider) > 1) p";
    let people: i64 = target.query_one(sql, &[]).await.context(WHAT)?.get(0);
    Ok(format!(
        "{}{table}\n",
        heading(&format!("One of {people} people who buy through several providers"))
    ))
}

async fn left_out(target: &Client) -> Result<String> {
    let mut table = table();
    table.set_header(["feed", "rows", "reason"]);
    for (feed, reason, rows) in crate::store::row::left_out(target).await? {
        table.add_row([feed, rows.to_string(), reason]);
    }
    Ok(format!(
        "{}{table}\n",
        heading("Rows that the configuration leaves out (skip, [rules.exclude])")
    ))
}

async fn conflicts(target: &Client) -> Result<String> {
    let mut table = table();
    table.set_header(["", "kind", "open", "for example"]);
    for row in target.query(CONFLICTS, &[]).await.context(WHAT)? {
        let (severity, kind, count): (String, String, i64) = (row.get(0), row.get(1), row.get(2));
        let (subject, evidence): (&str, &str) = (row.get(3), row.get(4));
        let example = visible(&format!("{subject}  {evidence}"));
        table.add_row([severity, kind, count.to_string(), shortened(&example)]);
    }
    Ok(format!(
        "{}{table}\n",
        heading("Open conflicts (review: a person decides) and notes (info)")
    ))
}

async fn numbers(target: &Client, measured: &Measured) -> Result<String> {
    let row = target.query_one(COUNTS, &[]).await.context(WHAT)?;
    let [profiles, transactions, linked, enrollments, active] =
        [0, 1, 2, 3, 4].map(|index| row.get::<_, i64>(index));
    let seconds = measured.backfill.as_secs_f64();
    let rate = measured.rows as f64 / seconds.max(0.001);
    let mut table = table();
    for (name, value) in [
        ("profiles", profiles.to_string()),
        ("transactions", format!("{transactions}, {linked} of them with a person")),
        ("enrollments", format!("{enrollments}, {active} of them active")),
        (
            "backfill",
            format!(
                "{} rows in {seconds:.1} s from the daemon's start, {rate:.0} rows/s",
                measured.rows
            ),
        ),
        ("live", measured.traffic.to_string()),
        (
            "lag",
            format!(
                "at most {:.2} s behind; in step {:.2} s after the last change",
                measured.lag,
                measured.waited.as_secs_f64()
            ),
        ),
    ] {
        table.add_row([name.to_owned(), value]);
    }
    Ok(format!("{}{table}\n", heading("In numbers")))
}

fn table() -> Table {
    let mut table = Table::new();
    table.load_style(NOTHING).set_content_arrangement(ContentArrangement::Dynamic);
    table
}

fn heading(text: &str) -> String {
    format!("\n{text}\n")
}

fn shortened(text: &str) -> String {
    if text.chars().count() <= EXAMPLE_LENGTH {
        return text.to_owned();
    }
    let start: String = text.chars().take(EXAMPLE_LENGTH).collect();
    format!("{start}…")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_long_example_is_cut_between_characters() {
        assert_eq!(shortened("Niño"), "Niño");
        let long = "ñ".repeat(EXAMPLE_LENGTH + 1);
        assert_eq!(shortened(&long), format!("{}…", "ñ".repeat(EXAMPLE_LENGTH)));
    }
}
