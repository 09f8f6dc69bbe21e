//! Has the one writer recompute what differs, in commands of bounded size (P9, P11).

use super::report::Touch;
use super::{Options, Report, Show, verify};
use crate::apply::Repair;
use crate::ask::{Patience, actor, ask, open_target};
use crate::config::Config;
use crate::decisions::{Command, Request};
use crate::error::{Error, Result};
use crate::pg::Db;

/// Units of one command: it is one transaction between two batches.
const UNITS: usize = 500;

/// Repairs what a report names, in the name of `by` or of this process, and verifies again. `Err` within: the writer refused it, for this reason, which may name
/// customers and is for standard output alone (P14).
///
/// # Errors
/// Those of both servers; a refusal where so much would be deleted that the guard stops it.
pub async fn repair(
    config: &Config,
    report: &Report,
    options: Options,
    by: Option<&str>,
    show: Show<'_>,
) -> Result<std::result::Result<Report, String>> {
    let db = &open_target(config).await?;
    guard(config, db, report).await?;
    let actor = actor(db, by).await?;
    let feeds = crate::apply::stored_feeds(db, config).await?;
    let touches: Vec<&Touch> = report.repairs.iter().collect();
    for (done, some) in touches.chunks(UNITS).enumerate() {
        show("repairing", (done * UNITS) as u64);
        let mut what = Repair::default();
        for touch in some {
            add(&mut what, touch, &feeds);
        }
        let command = Command::of(Request::Repair(what));
        let answer = ask(config, db, &command, &actor, Patience::Minute).await?;
        if !answer.done {
            return Ok(Err(answer.text));
        }
    }
    verify(config, options, show).await.map(Ok)
}

fn add(what: &mut Repair, touch: &Touch, feeds: &crate::engine::Feeds) {
    match touch {
        Touch::Row(id) => what.rows.push(feeds.source_row(id)),
        Touch::Owner(owner) => what.owners.push(owner.clone()),
        Touch::Shared((feed, value)) => {
            let value = crate::facts::SourceKey(value.clone());
            what.shared.push(feeds.source_row(&(*feed, value)));
        }
        Touch::Person(person) => what.people.push(person.clone()),
        Touch::Transaction(id) => what.transactions.push(*id),
        Touch::Enrollment(id) => what.enrollments.push(*id),
        Touch::Conflict(fingerprint) => what.conflicts.push(*fingerprint),
    }
}

/// A repair deletes what the source no longer has, and is under the limits of any other delete (P9).
async fn guard(config: &Config, db: &Db, report: &Report) -> Result<()> {
    let refused = |rows: u64, of: u64, what: &str| {
        Error::refused(
            format!("the repair would delete {rows} of {of} {what}, more than the guard lets pass"),
            "if the source is right, stop the daemon and run `tributary backfill`, which reads everything again and \
             halts in front of the delete for `tributary accept`",
        )
    };
    for (feed, rows) in &report.gone {
        let (of, _) = crate::store::row::count(db, *feed, 0).await?;
        if config.guard.stops(*rows, of) {
            return Err(refused(*rows, of, "stored rows of a feed"));
        }
    }
    if report.unsupported > config.guard.delete_rows {
        let sql = format!("select count(*) from {}", config.target.transactions.quoted());
        let rows = db.query("target: counting transactions", &sql, &[]).await?;
        let of = rows.first().map_or(0, |row| row.get::<_, i64>(0).unsigned_abs());
        if config.guard.stops(report.unsupported, of) {
            return Err(refused(report.unsupported, of, "transactions"));
        }
    }
    Ok(())
}
