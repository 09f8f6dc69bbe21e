//! `tributary conflicts`: the review queue.

mod beside;
mod dismiss;
pub(in crate::cli) mod preview;
mod render;
mod resolve;

use std::process::ExitCode;

use clap::Subcommand;
use jiff::tz::TimeZone;
use jiff::{Timestamp, civil};
use serde_json::json;

use super::Context;
use super::output::{self, print};
use crate::ask::open_target;
use crate::config::Config;
use crate::error::{Error, Result};
use crate::facts::email_key;
use crate::pg::Db;
use crate::review::query::{self, Filter};
use crate::review::{people, ways};
use crate::unify::ConflictKind;

/// Work through what the rules could not decide: list, show, resolve, dismiss
#[derive(Debug, clap::Args)]
pub(super) struct Args {
    #[command(subcommand)]
    action: Action,
}

#[derive(Debug, Subcommand)]
enum Action {
    /// List conflicts, those to review first
    List(List),
    /// Show everything about a conflict: both sides, raw values, money, and what can be done
    Show {
        /// As `conflicts list` prints it; or a source row, as <feed>:<key> or as log lines have it.
        id: String,
        /// Print one JSON object.
        #[arg(long)]
        json: bool,
    },
    /// Decide a conflict; each kind has its own options, which `conflicts show` names
    Resolve(resolve::Args),
    /// Put conflicts aside for as long as their evidence is the same
    Dismiss(dismiss::Args),
}

/// What selects conflicts by what they are.
#[derive(Debug, clap::Args)]
struct Which {
    /// Only this kind; may be given several times.
    #[arg(long, value_parser = kind)]
    kind: Vec<ConflictKind>,
    /// Only this severity.
    #[arg(long, value_parser = ["review", "info"])]
    severity: Option<String>,
    /// Only subjects that contain this text.
    #[arg(long, value_name = "TEXT")]
    subject: Option<String>,
}

#[derive(Debug, clap::Args)]
struct List {
    #[command(flatten)]
    which: Which,
    /// Only this state.
    #[arg(long, value_parser = ["open", "dismissed", "resolved", "all"], default_value = "open")]
    status: String,
    /// Only what is about this address.
    #[arg(long, value_name = "ADDR")]
    email: Option<String>,
    /// Only what was first seen on this local day or later.
    #[arg(long, value_name = "DATE")]
    since: Option<civil::Date>,
    /// At most so many.
    #[arg(long, value_name = "N", default_value_t = 50, value_parser = clap::value_parser!(i64).range(1..))]
    limit: i64,
    /// Only the numbers by kind.
    #[arg(long)]
    counts: bool,
    /// Print a JSON array.
    #[arg(long)]
    json: bool,
}

/// A kind by its name.
fn kind(name: &str) -> std::result::Result<ConflictKind, String> {
    ConflictKind::parse(name).ok_or_else(|| {
        let distance = |kind: &ConflictKind| strsim::osa_distance(kind.as_str(), name);
        let nearest = ConflictKind::ALL.into_iter().min_by_key(distance);
        nearest
            .map_or_else(String::new, |kind| format!("there is no such kind; did you mean {kind}?"))
    })
}

fn word(value: Option<&str>) -> Option<&'static str> {
    let known = ["review", "info", "open", "dismissed", "resolved"];
    known.into_iter().find(|word| value == Some(*word))
}

impl Which {
    fn filter(&self) -> Filter {
        Filter {
            kinds: self.kind.iter().map(|kind| kind.as_str()).collect(),
            severity: word(self.severity.as_deref()),
            subject: self.subject.clone(),
            ..Filter::default()
        }
    }
}

/// Carries the action out.
///
/// # Errors
/// Those of the target; refusals with their remedy.
pub(super) async fn run(args: Args, context: &Context) -> Result<ExitCode> {
    let config = &context.config()?;
    let db = &open_target(config).await?;
    match args.action {
        Action::List(args) => list(&args, config, db).await,
        Action::Show { id, json } => {
            show(conflict_of(&id, config, db).await?, json, config, db).await
        }
        Action::Resolve(args) => resolve::run(args, config, db).await,
        Action::Dismiss(args) => dismiss::run(args, config, db).await,
    }
}

async fn list(args: &List, config: &Config, db: &Db) -> Result<ExitCode> {
    let zone = &config.rules.zone;
    let mut filter = args.which.filter();
    filter.status = word(Some(&args.status));
    filter.since = args.since.map(|date| midnight(date, zone)).transpose()?;
    if let Some(address) = &args.email {
        let key = email_key(address).0.map_err(|reason| {
            Error::refused(
                format!("--email is not an address to match people by ({})", reason.as_str()),
                "write one plain address, or use --subject for a part of one",
            )
        })?;
        filter.email = Some(key.to_string());
    }
    if args.counts {
        let counts = query::counts(db, &filter).await?;
        let text = if args.json { output::json(&counts)? } else { render::counted(&counts) };
        print(&text)?;
        return Ok(ExitCode::SUCCESS);
    }
    let conflicts = query::list(db, &filter, args.limit).await?;
    if args.json {
        print(&output::json(&conflicts)?)?;
    } else {
        let counts = query::counts(db, &filter).await?;
        print(&render::list(&conflicts, &counts, zone))?;
    }
    Ok(ExitCode::SUCCESS)
}

fn midnight(date: civil::Date, zone: &TimeZone) -> Result<Timestamp> {
    let midnight = date.to_zoned(zone.clone());
    midnight
        .map(|at| at.timestamp())
        .map_err(|error| Error::refused(error.to_string(), "give a date"))
}

/// The conflict with this id, or the one that is open about this source row.
async fn conflict_of(text: &str, config: &Config, db: &Db) -> Result<i64> {
    if let Ok(id) = text.parse() {
        return Ok(id);
    }
    let refused =
        |problem: &str| Error::refused(problem.to_owned(), "`tributary conflicts list` shows them");
    let Some((row, _)) = crate::apply::find_row(db, config, text).await? else {
        return Err(refused("that is neither the number of a conflict nor a source row"));
    };
    match query::of_row(db, &row).await?.as_slice() {
        [] => Err(refused("no open conflict is about this row")),
        [id] => Ok(*id),
        several => {
            let ids: Vec<String> = several.iter().map(i64::to_string).collect();
            Err(Error::refused(
                "several open conflicts are about this row",
                format!("name one of {}", ids.join(", ")),
            ))
        }
    }
}

async fn show(id: i64, json: bool, config: &Config, db: &Db) -> Result<ExitCode> {
    let conflict = query::one(db, id).await?;
    let kind = conflict.kind()?;
    let people = people::look_up(db, &config.target, &people::addresses(&conflict)).await?;
    let pair = ways::pair(kind, &conflict.evidence);
    let history = query::history(db, &conflict, pair.as_ref()).await?;
    if json {
        let commands = ways::commands(id, kind, &conflict.evidence);
        print(&output::json(&json!({
            "conflict": conflict, "people": people, "decisions": history, "commands": commands,
        }))?)?;
    } else {
        let sides: Vec<_> = people.iter().map(people::PersonSide::side).collect();
        print(&render::show(&conflict, &sides, &history, &config.rules.zone))?;
    }
    Ok(ExitCode::SUCCESS)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_unknown_kind_is_refused_with_the_nearest() {
        let check =
            |name: &str, expected: &str| assert!(kind(name).unwrap_err().contains(expected));
        check("underpayed", "underpaid");
        check("posible_duplicate", "possible_duplicate");
        assert_eq!(kind("underpaid"), Ok(ConflictKind::Underpaid));
    }
}
