//! `tributary conflicts resolve`: one decision about one conflict.

use std::process::ExitCode;

use super::preview::{self, DryRun};
use crate::ask::{Patience, actor, ask};
use crate::cli::output::{self, print};
use crate::config::Config;
use crate::decisions::Command;
use crate::error::{Error, Result};
use crate::pg::Db;
use crate::review::query;
use crate::review::ways::{self, Choice};

/// A conflict and what was decided.
#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    /// As `conflicts list` prints it.
    id: i64,
    #[command(flatten)]
    options: Options,
    /// Why.
    #[arg(long, value_name = "TEXT")]
    note: Option<String>,
    /// Who decided [default: the login name]
    #[arg(long, value_name = "NAME")]
    by: Option<String>,
    #[command(flatten)]
    dry: DryRun,
}

/// Exactly one of them.
#[derive(Debug, clap::Args)]
#[group(multiple = false, required = true)]
struct Options {
    /// They are one person: this address remains, the other becomes its alias.
    #[arg(long, value_name = "EMAIL")]
    keep: Option<String>,
    /// They are two people.
    #[arg(long)]
    separate: bool,
    /// The facts of this address belong to that person.
    #[arg(long, value_name = "EMAIL")]
    alias_to: Option<String>,
    /// Use this address for the row.
    #[arg(long, value_name = "ADDR")]
    email: Option<String>,
    /// The payment is for this product.
    #[arg(long, value_name = "CODE")]
    product: Option<String>,
}

impl Options {
    fn choice(&self) -> Option<Choice> {
        let separate = self.separate.then_some(Choice::Separate);
        let keep = self.keep.clone().map(Choice::Keep);
        let alias = self.alias_to.clone().map(Choice::AliasTo);
        let email = self.email.clone().map(Choice::Email);
        let product = self.product.clone().map(Choice::Product);
        keep.or(separate).or(alias).or(email).or(product)
    }
}

/// Asks for the decision, and tells whether the conflict is closed by it.
///
/// # Errors
/// Those of the servers; a refusal that says what fits the kind.
pub(super) async fn run(args: Args, config: &Config, db: &Db) -> Result<ExitCode> {
    let conflict = query::one(db, args.id).await?;
    let kind = conflict.kind()?;
    let choice = args
        .options
        .choice()
        .ok_or_else(|| Error::refused("nothing was decided", ways::what_fits(kind)))?;
    let request = ways::request(kind, &conflict.evidence, &choice)?;
    if conflict.status != "open" {
        return Err(Error::refused(
            format!("conflict {} is {}", args.id, conflict.status),
            "only open conflicts can be resolved; `tributary decisions add` needs no conflict",
        ));
    }
    let command = Command { request, note: args.note, conflict: Some(args.id) };
    let actor = actor(db, args.by.as_deref()).await?;
    if args.dry.dry_run {
        return preview::show(config, db, command, &actor, args.dry.json).await;
    }
    let answer = ask(config, db, &command, &actor, Patience::Minute).await?;
    if !answer.done {
        print(&format!("refused: {}\n", output::cell_lines(&answer.text)))?;
        return Ok(ExitCode::FAILURE);
    }
    let now = query::one(db, args.id).await?;
    let outcome = match (now.status.as_str(), &now.resolved_by) {
        ("open", _) => format!("is still open: `tributary conflicts show {}` says why", args.id),
        (status, Some(by)) => format!("is {status} by {}", output::cell(by)),
        (status, None) => format!("is {status}"),
    };
    print(&format!("{}\nconflict {} {outcome}\n", output::cell_lines(&answer.text), args.id))?;
    Ok(ExitCode::SUCCESS)
}
