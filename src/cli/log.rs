//! `tributary log`: what was done, by whom, with what outcome.

use std::process::ExitCode;

use clap::Subcommand;
use clap::builder::PossibleValuesParser;
use jiff::tz::TimeZone;
use jiff::{SignedDuration, Timestamp};

use super::Context;
use super::output::{self, print};
use crate::ask::open_server;
use crate::error::{Error, Result};
use crate::store::operation_log::{self, Entry, Filter, Operation, Outcome};

const HELP: &str = "\
Outcomes: done, failed, refused, halted (it waits for an operator), stopped (by a signal), running, interrupted (it died: a
backfill is gone on with by the next start).

No value of a customer is in the log.

Examples:
  # What was done lately
  tributary log

  # What went wrong since yesterday
  tributary log --since 1d --outcome failed --outcome interrupted

  # Everything of one entry
  tributary log show 12

  # All of it, one JSON object a line
  tributary log export > log.jsonl";

/// List what was done, by whom, with what outcome; show one entry; export all
#[derive(Debug, clap::Args)]
#[command(after_help = HELP, args_conflicts_with_subcommands = true)]
pub(super) struct Args {
    #[command(subcommand)]
    action: Option<Action>,
    #[command(flatten)]
    list: List,
}

#[derive(Debug, Subcommand)]
enum Action {
    /// List entries, newest first
    List(List),
    /// Show one entry
    Show {
        /// As the list prints it.
        id: i64,
        /// Print a JSON object.
        #[arg(long)]
        json: bool,
    },
    /// Print entries as JSON lines, oldest first
    Export(Which),
}

#[derive(Debug, clap::Args)]
struct List {
    #[command(flatten)]
    which: Which,
    /// At most so many.
    #[arg(long, value_name = "N", default_value_t = 50, value_parser = clap::value_parser!(i64).range(1..))]
    limit: i64,
    /// Print a JSON array.
    #[arg(long)]
    json: bool,
}

#[derive(Debug, clap::Args)]
struct Which {
    /// Only these operations; may be given several times.
    #[arg(long, value_parser = PossibleValuesParser::new(Operation::ALL.map(Operation::as_str)))]
    operation: Vec<String>,
    /// Begun since then: 2025-06-30, 2025-06-30T04:00:00Z, or so long ago: 30m, 12h, 7d.
    #[arg(long, value_name = "WHEN")]
    since: Option<String>,
    /// Only with this outcome; may be given several times.
    #[arg(long, value_parser = PossibleValuesParser::new(Outcome::SHOWN))]
    outcome: Vec<String>,
}

impl Which {
    fn filter(self, zone: &TimeZone, limit: Option<i64>) -> Result<Filter> {
        let since = self.since.as_deref().map(|text| since(text, zone, Timestamp::now()));
        Ok(Filter {
            operations: self.operation,
            since: since.transpose()?,
            until: None,
            text: None,
            id: None,
            before: None,
            outcomes: self.outcome,
            limit,
        })
    }
}

/// Carries the action out.
///
/// # Errors
/// Those of the target; a refusal of a time that cannot be read, and of an entry that is not there.
pub(super) async fn run(args: Args, context: &Context) -> Result<ExitCode> {
    let target = context.target()?;
    let zone = &target.zone;
    let action = args.action.unwrap_or(Action::List(args.list));
    let db = &open_server(&target.server).await?;
    match action {
        Action::List(List { which, limit, json }) => {
            let entries = operation_log::list(db, &which.filter(zone, Some(limit))?).await?;
            print(&if json { output::json(&entries)? } else { render(&entries, zone) })?;
        }
        Action::Show { id, json } => {
            let filter = Filter { id: Some(id), ..Filter::default() };
            let entries = operation_log::list(db, &filter).await?;
            let Some(entry) = entries.first() else {
                return Err(Error::refused(
                    format!("there is no entry {id}"),
                    "`tributary log` lists them",
                ));
            };
            print(&if json { output::json(entry)? } else { show(entry, zone)? })?;
        }
        Action::Export(which) => {
            let entries = operation_log::list(db, &which.filter(zone, None)?).await?;
            let mut text = String::new();
            for entry in entries.iter().rev() {
                let line = serde_json::to_string(entry);
                text.push_str(&line.map_err(|error| Error::failed("writing JSON", error))?);
                text.push('\n');
            }
            print(&text)?;
        }
    }
    Ok(ExitCode::SUCCESS)
}

/// A time as a person writes it: local in the configured zone, or so long before now.
fn since(text: &str, zone: &TimeZone, now: Timestamp) -> Result<Timestamp> {
    let ago = || {
        let (number, unit) = text.split_at_checked(text.len().checked_sub(1)?)?;
        let number: i64 = number.parse().ok().filter(|number| *number >= 0)?;
        let seconds = match unit {
            "m" => 60,
            "h" => 3_600,
            "d" => 86_400,
            _ => return None,
        };
        now.checked_sub(SignedDuration::from_secs(number.checked_mul(seconds)?)).ok()
    };
    let local = || {
        let civil: jiff::civil::DateTime = text.parse().ok()?;
        // That parser drops an offset, which the one for instants has read.
        Some(civil.to_zoned(zone.clone()).ok()?.timestamp())
    };
    text.parse().ok().or_else(local).or_else(ago).ok_or_else(|| {
        Error::refused(
            "that is no time to begin at",
            "write 2025-06-30, 2025-06-30T04:00:00Z, or how long ago, such as 30m, 12h or 7d",
        )
    })
}

fn who(entry: &Entry) -> String {
    let os_user = entry.os_user.as_deref();
    let name = entry.asked_by.as_deref().or(os_user).unwrap_or(&entry.database_user);
    output::cell(name)
}

fn local(at: Timestamp, zone: &TimeZone) -> String {
    at.to_zoned(zone.clone()).strftime("%Y-%m-%d %H:%M:%S").to_string()
}

fn duration(entry: &Entry) -> String {
    entry.seconds.map_or_else(|| "-".to_owned(), |seconds| format!("{seconds:.1} s"))
}

fn render(entries: &[Entry], zone: &TimeZone) -> String {
    if entries.is_empty() {
        return "nothing is logged\n".to_owned();
    }
    let heads = ["ID", "OPERATION", "BEGAN", "TOOK", "OUTCOME", "PROCESSED", "FAILED", "BY"];
    let mut rows = output::table(&heads);
    let number = |count: Option<i64>| count.map_or_else(|| "-".to_owned(), |n| n.to_string());
    for entry in entries {
        rows.add_row([
            entry.id.to_string(),
            entry.operation.clone(),
            local(entry.started_at, zone),
            duration(entry),
            entry.outcome.clone(),
            number(entry.processed),
            number(entry.failed),
            who(entry),
        ]);
    }
    output::text(&rows)
}

fn show(entry: &Entry, zone: &TimeZone) -> Result<String> {
    let mut rows = output::table(&[]);
    let text = |text: &Option<String>| output::cell(text.as_deref().unwrap_or("-"));
    let number = |count: Option<i64>| count.map_or_else(|| "-".to_owned(), |n| n.to_string());
    for (name, value) in [
        ("entry", entry.id.to_string()),
        ("operation", entry.operation.clone()),
        ("outcome", entry.outcome.clone()),
        ("began", local(entry.started_at, zone)),
        ("ended", entry.finished_at.map_or_else(|| "-".to_owned(), |at| local(at, zone))),
        ("took", duration(entry)),
        ("asked by", text(&entry.asked_by)),
        ("login name", text(&entry.os_user)),
        ("database user", output::cell(&entry.database_user)),
        ("version", output::cell(&entry.version)),
        ("configuration", output::cell(&entry.config_hash)),
        ("processed", number(entry.processed)),
        ("succeeded", number(entry.succeeded)),
        ("failed", number(entry.failed)),
    ] {
        rows.add_row([name.to_owned(), value]);
    }
    let mut text = output::text(&rows);
    for error in &entry.errors {
        text.push_str(&format!("\nerror: {}\n", output::cell_lines(error)));
    }
    text.push('\n');
    text.push_str(&output::cell_lines(&output::json(&entry.detail)?));
    text.push('\n');
    Ok(text)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_beginning_is_a_date_an_instant_or_a_while_ago() {
        let zone = TimeZone::get("Asia/Manila").unwrap();
        let now: Timestamp = "2025-06-30T04:00:00Z".parse().unwrap();
        let check = |text: &str, expected: Option<&str>| {
            let expected = expected.map(|at| at.parse::<Timestamp>().unwrap());
            assert_eq!(since(text, &zone, now).ok(), expected, "{text}");
        };
        check("2025-06-30", Some("2025-06-29T16:00:00Z"));
        check("2025-06-30T04:00:00Z", Some("2025-06-30T04:00:00Z"));
        check("2025-06-30T12:00:00+08:00", Some("2025-06-30T04:00:00Z"));
        check("2025-06-30T12:00", Some("2025-06-30T04:00:00Z"));
        check("90m", Some("2025-06-30T02:30:00Z"));
        check("12h", Some("2025-06-29T16:00:00Z"));
        check("7d", Some("2025-06-23T04:00:00Z"));
        for text in ["", "d", "-1d", "1y", "yesterday", "99999999999999999d"] {
            check(text, None);
        }
    }
}
