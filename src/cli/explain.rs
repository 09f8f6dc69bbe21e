//! `tributary explain`: where each value of a person comes from, and what lost.

mod render;

use std::process::ExitCode;

use super::Context;
use super::output::{self, print};
use crate::apply::find_row;
use crate::ask::open_target;
use crate::engine::people::is_person;
use crate::error::{Error, Result};
use crate::facts::{EmailKey, email_key};
use crate::review::person as load;

/// Show where each value of a person comes from, and what lost
///
/// The profile's fields, payments, enrollments, decisions and open conflicts of the person whom the address
/// belongs to. Only reads, whether or not the daemon runs.
#[derive(Debug, clap::Args)]
pub(super) struct Args {
    /// The address, in any spelling; or a source row, as <feed>:<key> or as log lines have it.
    #[arg(value_name = "EMAIL")]
    email: String,
    /// Print one JSON object.
    #[arg(long)]
    json: bool,
}

fn address(text: &str) -> Result<EmailKey> {
    email_key(text).0.map_err(|reason| {
        Error::refused(
            format!("that is not an address to match people by ({})", reason.as_str()),
            "write one plain address, such as maria@example.com, or a source row",
        )
    })
}

/// A row that belongs to no person; the first word of its owner is the reason.
fn nobody(row: &str, owner: &str, json: bool) -> Result<ExitCode> {
    let reason = match owner.split(' ').next() {
        Some("skipped") => "skip of its feed leaves it out",
        Some("excluded") => "[rules.exclude] emails leaves it out",
        Some("incomplete") => "a value of it is unknown",
        _ => "it has no usable e-mail address",
    };
    if json {
        let answer = serde_json::json!({ "source_row": row, "known": false, "reason": reason });
        print(&output::json(&answer)?)?;
    } else {
        print(&format!("{} belongs to no person: {reason}\n", output::cell(row)))?;
    }
    Ok(ExitCode::FAILURE)
}

/// Explains; exit code 1 where nobody has the address.
///
/// # Errors
/// Those of the target; a refusal for what is no address.
pub(super) async fn run(args: Args, context: &Context) -> Result<ExitCode> {
    let config = &context.config()?;
    let db = &std::sync::Arc::new(open_target(config).await?);
    let key = match find_row(db, config, &args.email).await? {
        Some((row, owner)) if !is_person(&owner) => return nobody(&row, &owner, args.json),
        Some((_, owner)) => EmailKey::trusted(owner),
        None => address(&args.email)?,
    };
    if let Some(explained) = load::load(config, db, &key).await? {
        let json = args.json;
        print(&if json { output::json(&explained)? } else { render::text(&explained) })?;
        return Ok(ExitCode::SUCCESS);
    }
    let nearest = load::nearest(db, &key).await?;
    if args.json {
        let answer = serde_json::json!({ "key": key, "known": false, "nearest": nearest });
        print(&output::json(&answer)?)?;
    } else if nearest.is_empty() {
        print(&format!("nothing is known of {key}\n"))?;
    } else {
        print(&format!("nothing is known of {key}; near it: {}\n", nearest.join(", ")))?;
    }
    Ok(ExitCode::FAILURE)
}
