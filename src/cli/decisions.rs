//! `tributary decisions`: what people decided, with the way back.

use std::process::ExitCode;

use clap::Subcommand;
use jiff::Timestamp;
use jiff::tz::TimeZone;
use serde::Serialize;
use tokio_postgres::Row;

use super::Context;
use super::conflicts::preview::{self, DryRun};
use super::output::{self, print};
use crate::ask::{Patience, actor, ask, open_target};
use crate::config::Config;
use crate::decisions::{Command, Request};
use crate::error::Result;
use crate::pg::Db;

/// List what was decided, decide something, take a decision back
#[derive(Debug, clap::Args)]
pub(super) struct Args {
    #[command(subcommand)]
    action: Action,
}

#[derive(Debug, Subcommand)]
enum Action {
    /// List decisions, newest first
    List {
        /// Only this kind; may be given several times.
        #[arg(long, value_parser = ["alias", "separate", "email", "product", "dismiss"])]
        kind: Vec<String>,
        /// Those that were reverted too.
        #[arg(long)]
        all: bool,
        /// At most so many.
        #[arg(long, value_name = "N", default_value_t = 100, value_parser = clap::value_parser!(i64).range(1..))]
        limit: i64,
        /// Print a JSON array.
        #[arg(long)]
        json: bool,
    },
    /// Decide without a conflict
    Add {
        #[command(subcommand)]
        what: What,
    },
    /// Take a decision back: everything is as if it had not been made
    Revert {
        /// As `decisions list` prints it.
        id: i64,
        #[command(flatten)]
        by: By,
    },
}

#[derive(Debug, Subcommand)]
enum What {
    /// The facts of FROM belong to person TO
    Alias {
        /// The address that is given up.
        from: String,
        /// The address that remains.
        to: String,
        #[command(flatten)]
        by: By,
    },
    /// A and B are two people: never suggest the pair again
    Separate {
        /// One address.
        a: String,
        /// The other one.
        b: String,
        #[command(flatten)]
        by: By,
    },
    /// Use this address for a source row
    Email {
        /// `<feed>:<key>`, such as `systemeio:8a1f…`.
        row: String,
        /// The address.
        addr: String,
        #[command(flatten)]
        by: By,
    },
    /// A payment is for this product
    Product {
        /// `<feed>:<key>` of a payment, such as `xendit:8a1f…`.
        row: String,
        /// The product's code.
        code: String,
        #[command(flatten)]
        by: By,
    },
}

#[derive(Debug, clap::Args)]
struct By {
    /// Why.
    #[arg(long, value_name = "TEXT")]
    note: Option<String>,
    /// Who decides [default: the login name]
    #[arg(long, value_name = "NAME")]
    by: Option<String>,
    #[command(flatten)]
    dry: DryRun,
}

impl What {
    fn request(self) -> (Request, By) {
        match self {
            Self::Alias { from, to, by } => (Request::Alias { from, to }, by),
            Self::Separate { a, b, by } => (Request::Separate { a, b }, by),
            Self::Email { row, addr, by } => (Request::Email { row, address: addr }, by),
            Self::Product { row, code, by } => (Request::Product { row, code }, by),
        }
    }
}

/// Carries the action out.
///
/// # Errors
/// Those of the servers; refusals with their remedy.
pub(super) async fn run(args: Args, context: &Context) -> Result<ExitCode> {
    let config = &context.config()?;
    let db = &open_target(config).await?;
    match args.action {
        Action::List { kind, all, limit, json } => {
            let decisions = list(db, &kind, all, limit).await?;
            if json {
                print(&output::json(&decisions)?)?;
            } else {
                print(&render(&decisions, &config.rules.zone))?;
            }
            Ok(ExitCode::SUCCESS)
        }
        Action::Add { what } => {
            let (request, by) = what.request();
            decide(config, db, request, by).await
        }
        Action::Revert { id, by } => decide(config, db, Request::Revert { decision: id }, by).await,
    }
}

async fn decide(config: &Config, db: &Db, request: Request, by: By) -> Result<ExitCode> {
    let command = Command { note: by.note, ..Command::of(request) };
    let actor = actor(db, by.by.as_deref()).await?;
    if by.dry.dry_run {
        return preview::show(config, db, command, &actor, by.dry.json).await;
    }
    let answer = ask(config, db, &command, &actor, Patience::Minute).await?;
    let text = output::cell_lines(&answer.text);
    if answer.done {
        print(&format!("{text}\n"))?;
        return Ok(ExitCode::SUCCESS);
    }
    print(&format!("refused: {text}\n"))?;
    Ok(ExitCode::FAILURE)
}

/// A decision as stored (SPEC §7).
#[derive(Debug, Clone, Serialize)]
struct Decision {
    id: i64,
    kind: String,
    a: String,
    b: String,
    automatic: bool,
    actor: String,
    note: Option<String>,
    conflict_id: Option<i64>,
    created_at: Timestamp,
    reverted_at: Option<Timestamp>,
    reverted_by: Option<String>,
    reverted_note: Option<String>,
    /// Of a dismissal: the conflict's kind.
    conflict_kind: Option<String>,
    /// Of a dismissal: the conflict's subject.
    conflict_subject: Option<String>,
}

impl Decision {
    fn of(row: &Row) -> Self {
        Self {
            id: row.get(0),
            kind: row.get(1),
            a: row.get(2),
            b: row.get(3),
            automatic: row.get(4),
            actor: row.get(5),
            note: row.get(6),
            conflict_id: row.get(7),
            created_at: row.get(8),
            reverted_at: row.get(9),
            reverted_by: row.get(10),
            reverted_note: row.get(11),
            conflict_kind: row.get(12),
            conflict_subject: row.get(13),
        }
    }

    fn what(&self) -> String {
        let joint = if self.kind == "separate" { "≠" } else { "→" };
        match (&self.conflict_kind, &self.conflict_subject) {
            (Some(kind), Some(subject)) => format!("{kind} {subject}"),
            _ if self.kind == "dismiss" => "a conflict that is not there".to_owned(),
            _ => format!("{} {joint} {}", self.a, self.b),
        }
    }
}

async fn list(db: &Db, kinds: &[String], all: bool, limit: i64) -> Result<Vec<Decision>> {
    let kinds = (!kinds.is_empty()).then_some(kinds);
    let sql = include_str!("sql/decisions.sql");
    let rows = db.query("target: reading decisions", sql, &[&kinds, &all, &limit]).await?;
    Ok(rows.iter().map(Decision::of).collect())
}

fn render(decisions: &[Decision], zone: &TimeZone) -> String {
    if decisions.is_empty() {
        return "nothing was decided\n".to_owned();
    }
    let mut rows = output::table(&["ID", "KIND", "WHAT", "BY", "WHEN", "NOTE", "REVERTED"]);
    for decision in decisions {
        let local =
            |at: Timestamp| at.to_zoned(zone.clone()).strftime("%Y-%m-%d %H:%M").to_string();
        let by = if decision.automatic { "the rules" } else { &decision.actor };
        let reverted = decision.reverted_at.map_or_else(String::new, |at| {
            let by = decision.reverted_by.as_deref().unwrap_or("nobody");
            let note = decision.reverted_note.as_deref().map(|note| format!(": {note}"));
            format!("{} by {by}{}", local(at), note.unwrap_or_default())
        });
        rows.add_row([
            decision.id.to_string(),
            decision.kind.clone(),
            output::cell(&decision.what()),
            output::cell(by),
            local(decision.created_at),
            output::cell(decision.note.as_deref().unwrap_or("")),
            output::cell(&reverted),
        ]);
    }
    output::text(&rows)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn decisions_say_what_who_when_and_whether_they_hold() {
        let at: Timestamp = "2025-06-30T04:00:00Z".parse().unwrap();
        let alias = Decision {
            id: 2,
            kind: "alias".into(),
            a: "a@example.com".into(),
            b: "b@example.com".into(),
            automatic: true,
            actor: "tributary".into(),
            note: None,
            conflict_id: None,
            created_at: at,
            reverted_at: Some(at),
            reverted_by: Some("ana".into()),
            reverted_note: Some("two people".into()),
            conflict_kind: None,
            conflict_subject: None,
        };
        let dismiss = Decision {
            id: 1,
            kind: "dismiss".into(),
            automatic: false,
            actor: "ana".into(),
            note: Some("a test".into()),
            reverted_at: None,
            reverted_note: None,
            conflict_kind: Some("underpaid".into()),
            conflict_subject: Some("xendit:1".into()),
            ..alias.clone()
        };
        let zone = TimeZone::get("Asia/Manila").unwrap();
        insta::assert_snapshot!(render(&[alias, dismiss], &zone), @r"
            ID  KIND     WHAT                           BY         WHEN              NOTE    REVERTED
            2   alias    a@example.com → b@example.com  the rules  2025-06-30 12:00          2025-06-30 12:00 by ana: two people
            1   dismiss  underpaid xendit:1             ana        2025-06-30 12:00  a test
        ");
        assert_eq!(render(&[], &zone), "nothing was decided\n");
    }
}
