//! `tributary rollout N`: whose rows of the target tables are written (SPEC §7a).

use std::process::ExitCode;
use std::time::Duration;

use serde_json::json;

use super::Context;
use super::output::{self, print};
use crate::ask::{Patience, actor, ask, look, open_target};
use crate::config::Config;
use crate::decisions::{Command, Request, queue};
use crate::error::{Error, Result};
use crate::session;
use crate::status::Rollout;
use crate::store::outside;

/// How often it is looked whether everybody is recomputed.
const POLL: Duration = Duration::from_millis(200);

/// Write the target rows of this percentage of the people
///
/// 0 is a rehearsal: everything is decided and nothing is written. A person once in stays in until the rollout is narrowed,
/// which writes nothing back. The running daemon does it at once; where none runs, this command does.
#[derive(Debug, clap::Args)]
pub(super) struct Args {
    /// Percent of the people, from 0 to 100.
    #[arg(value_parser = clap::value_parser!(u8).range(0..=100))]
    percent: u8,
    /// Print one JSON object.
    #[arg(long)]
    json: bool,
}

/// Sets how far the rollout is, and waits until everybody is recomputed.
///
/// # Errors
/// Those of the servers.
pub(super) async fn run(args: Args, context: &Context) -> Result<ExitCode> {
    let config = &context.config()?;
    make_schema(config).await?;
    let db = &open_target(config).await?;
    let actor = actor(db, None).await?;
    let command = Command::of(Request::Rollout { percent: args.percent });
    let answer = ask(config, db, &command, &actor, Patience::Minute).await?;
    if !answer.done {
        return Err(Error::failed("setting the rollout", answer.text));
    }
    while queue::waits_for_rebuild(db).await? {
        // Whoever works on this target next goes on with it.
        if !session::is_locked(db).await? {
            break;
        }
        tokio::time::sleep(POLL).await;
    }
    let rollout = Rollout::from(outside::count(db.client()).await?);
    // Before the first backfill the application's tables hold nothing of ours, and may lack columns.
    let is_filled = session::checkpoint(db.client(), &config.source.slot).await?.is_some();
    let remains = if is_filled { outside::remains(db, &config.target).await? } else { [0; 3] };
    let [profiles, transactions, enrollments] = remains;
    if args.json {
        let remains = json!({ "profiles": profiles, "transactions": transactions, "enrollments": enrollments });
        print(&output::json(&json!({ "rollout": rollout, "remains": remains }))?)?;
        return Ok(ExitCode::SUCCESS);
    }
    let not = rollout.outside;
    let mut text = format!(
        "{}\nnot written: {} profiles, {} transactions, {} enrollments\n",
        answer.text, not.profiles, not.transactions, not.enrollments
    );
    if remains != [0; 3] {
        text.push_str(&format!(
            "in the target of people who are outside, and left as they are: {profiles} profiles, {transactions} transactions, \
             {enrollments} enrollments\n"
        ));
    }
    print(&text)?;
    Ok(ExitCode::SUCCESS)
}

/// How far the rollout is to be may be said before anything else: the daemon's own schema is enough for that.
async fn make_schema(config: &Config) -> Result<()> {
    let (mut target, is_there) = look(&config.target.server).await?;
    if !is_there {
        crate::migrate::migrate_schema(&mut target).await?;
    }
    Ok(())
}
