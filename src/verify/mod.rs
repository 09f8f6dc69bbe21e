//! Whether the target is what the source, the rules and the decisions say, while the daemon works and the source changes
//! (SPEC §9, `verify`).
//!
//! 1. `rows`: every source row against its stored row, in both directions. What differs is looked at again once the
//!    checkpoint has passed the source's position of that reading: it counts only if the source row is the same version
//!    as before and the stored row still differs.
//! 2. `people`: owners in pages, each page in one transaction of the target, in which rows, people and checkpoint are of
//!    one moment (P2). The deciding functions of the daemon say what the target tables and conflicts should hold, and
//!    the rows themselves are compared: no digest is believed. Where stored rows differ, those of the source take their
//!    place, so that one fault is not reported twice.
//! 3. `reverse`: what the target tables hold as ours and nothing supports.
//!
//! What P3 leaves to history is not compared. Nothing is written; `repair` asks the daemon.
//!
//! Bounds: pages, the queue of rows to look at again, the examples, and what is kept for a repair.

mod affected;
mod conflicts;
pub mod continuous;
mod differing;
mod people;
mod queue;
mod repair;
mod report;
mod reverse;
mod rows;

use std::sync::Arc;
use std::time::{Duration, Instant};

pub use repair::repair;
pub use report::{Difference, Example, Field, Problem, Report, Table, logged};

use self::affected::Affected;
use self::queue::Candidate;
use crate::apply::{Applier, stored_feeds};
use crate::ask::open_migrated;
use crate::config::Config;
use crate::connect::connect;
use crate::error::{Context as _, Error, Result};
use crate::lsn::Lsn;
use crate::pg::{Client, Db, Tx};
use crate::session;
use crate::source::RowReader;
use crate::store::backfill;
use crate::targets::compare::Comparison;

/// Shown while it works: the stage, and how many of its units are done.
pub type Show<'a> = &'a (dyn Fn(&'static str, u64) + Sync);

/// How often the checkpoint is looked at while it is waited for.
const POLL: Duration = Duration::from_millis(200);
/// How long a checkpoint that stands still is waited for: longer than an idle source's takes (SPEC §9: 30 s).
const PATIENCE: Duration = Duration::from_secs(60);
/// The longest rest after a page.
const LONGEST_REST: Duration = Duration::from_secs(10);
/// How often it is asked whether the daemon still streams.
const STANDING: Duration = Duration::from_secs(2);

/// What is wanted of the report.
#[derive(Debug, Clone, Copy)]
pub struct Options {
    /// Whether values are shown, which are customers' (P14).
    pub show_values: bool,
    /// Examples of each table.
    pub examples: usize,
    /// How many times as long as a page took it rests after it, so as to leave the servers to others.
    pub rest: u32,
}

/// One verification.
struct Verifier<'a> {
    config: &'a Config,
    options: Options,
    show: Show<'a>,
    /// Reads rows of the source.
    source: Arc<Client>,
    /// Decides what should be; holds no lock and writes nothing.
    applier: Applier,
    comparison: Comparison,
    /// Whether a daemon applies changes meanwhile, so that the checkpoint can be waited for.
    is_streaming: bool,
    /// Rows that differed when first looked at.
    waiting: Vec<Candidate>,
    /// Whom rows concern that differ.
    affected: Affected,
    /// Second looks at people that are left.
    second_looks: u32,
    /// Transactions that were reported already.
    reported: std::collections::HashSet<uuid::Uuid>,
    /// When the present page began.
    page_began: Instant,
    report: Report,
}

/// Compares everything.
///
/// # Errors
/// Those of both servers; a refusal where the target was never filled, or under other rules.
pub async fn verify(config: &Config, options: Options, show: Show<'_>) -> Result<Report> {
    let mut verifier = Verifier::open(config, options, show).await?;
    verifier.rows().await?;
    verifier.people().await?;
    verifier.reverse().await?;
    Ok(verifier.report)
}

impl<'a> Verifier<'a> {
    async fn open(config: &'a Config, options: Options, show: Show<'a>) -> Result<Self> {
        let db = Arc::new(open_migrated(config).await?);
        require_filled(&db, config).await?;
        let opened = crate::retry::within(crate::retry::COMMAND_PATIENCE, || {
            connect(&config.source.server, "tributary verify", "source")
        });
        let source = Arc::new(opened.await?);
        let feeds = Arc::new(stored_feeds(&db, config).await?);
        let reader = RowReader::new(Arc::clone(&source), &config.source, Arc::clone(&feeds));
        let comparison = Comparison::read(db.client(), &config.target).await?;
        let applier = Applier::reading(db, config, feeds, reader).await?;
        let mut verifier = Self {
            config,
            options,
            show,
            source,
            applier,
            comparison,
            is_streaming: false,
            waiting: Vec::new(),
            affected: Affected::default(),
            second_looks: people::SECOND_LOOKS,
            reported: std::collections::HashSet::new(),
            page_began: Instant::now(),
            report: Report::default(),
        };
        verifier.is_streaming = verifier.streams().await?;
        verifier.report.streaming = verifier.is_streaming;
        Ok(verifier)
    }

    /// Between two pages, with no transaction open.
    async fn rest(&mut self) {
        let pause = self.page_began.elapsed() * self.options.rest;
        if !pause.is_zero() {
            tokio::time::sleep(pause.min(LONGEST_REST)).await;
        }
        self.page_began = Instant::now();
    }

    fn db(&self) -> &Arc<Db> {
        &self.applier.db
    }

    /// The session outside any transaction: each statement is of its own moment.
    fn at_once(&self) -> Tx {
        Tx::on(&self.applier.db)
    }

    /// Whether a daemon applies changes: it holds the lock, has read everything and is not halted.
    async fn streams(&self) -> Result<bool> {
        let db = self.db();
        if !session::is_locked(db).await? {
            return Ok(false);
        }
        let is_done = backfill::progress(db).await?.is_some_and(|at| at.is_done());
        let sql = "select halted is null from tributary.state";
        let rows = db.query("target: reading the state", sql, &[]).await?;
        Ok(is_done && rows.first().is_some_and(|row| row.get(0)))
    }

    async fn checkpoint(&self) -> Result<Lsn> {
        let lsn = session::checkpoint(self.db().client(), &self.config.source.slot).await?;
        Ok(lsn.unwrap_or_default())
    }

    /// A position of the source's log behind everything that has been read of it.
    async fn source_lsn(&self) -> Result<Lsn> {
        source_position(&self.source).await
    }

    /// Waits until the checkpoint has passed a position. `false`: it does not come any nearer; where the daemon ended or
    /// halted, nothing is waited for any more.
    async fn passed(&mut self, lsn: Lsn) -> Result<bool> {
        let (mut last, mut moved, mut asked) = (Lsn::default(), Instant::now(), Instant::now());
        while self.is_streaming {
            let checkpoint = self.checkpoint().await?;
            if checkpoint >= lsn {
                return Ok(true);
            }
            if checkpoint > last {
                (last, moved) = (checkpoint, Instant::now());
            }
            if moved.elapsed() >= PATIENCE {
                return Ok(false);
            }
            if asked.elapsed() >= STANDING {
                asked = Instant::now();
                self.is_streaming = self.streams().await?;
                self.report.streaming = self.is_streaming;
            }
            (self.show)("waiting for the checkpoint", self.waiting.len() as u64);
            tokio::time::sleep(POLL).await;
        }
        Ok(true)
    }
}

/// A position of a source's log behind everything that was committed before it was asked, and that an idle source sends.
///
/// # Errors
/// Those of the source.
pub(crate) async fn source_position(source: &Client) -> Result<Lsn> {
    let sql = "select (case when pg_is_in_recovery() then pg_last_wal_replay_lsn() \
               else pg_current_wal_insert_lsn() end)::text";
    let what = "source: reading the log position";
    let row = source.query_one(sql, &[]).await.context(what)?;
    let lsn = row.get::<_, Option<&str>>(0).and_then(Lsn::parse);
    lsn.map(before_header).ok_or_else(|| Error::unavailable(what, "there is none yet"))
}

/// At the start of a page of the log the insert position lies behind the page's header, which no record fills: an idle
/// source never sends it.
fn before_header(lsn: Lsn) -> Lsn {
    const PAGE: u64 = 8192;
    const HEADERS: [u64; 2] = [24, 40];
    let offset = lsn.0 % PAGE;
    if HEADERS.contains(&offset) { Lsn(lsn.0 - offset) } else { lsn }
}

/// Nothing can be compared before everything was read once, nor under rules that the target was not made by.
async fn require_filled(db: &Db, config: &Config) -> Result<()> {
    if session::checkpoint(db.client(), &config.source.slot).await?.is_none() {
        return Err(Error::refused(
            "this target has not been filled from this source yet, so there is nothing to verify",
            "start the daemon: `tributary run`",
        ));
    }
    if backfill::MadeBy::read(db).await?.differs(config) {
        return Err(Error::refused(
            "the rules of this configuration are not those that the target was made by",
            "restart the daemon with this configuration, or verify with the daemon's own",
        ));
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_position_behind_a_page_header_is_that_of_the_page() {
        let check = |lsn: u64, expected: u64| assert_eq!(before_header(Lsn(lsn)), Lsn(expected));
        check(8192 + 24, 8192);
        check(16_777_216 + 40, 16_777_216);
        check(8192 + 32, 8192 + 32);
        check(8192, 8192);
    }
}
