//! What a backfill does to the target tables: predicted by a dry run, measured after a real one, in the same words (SPEC §9).
//!
//! A dry run is the backfill itself on temporary copies: the daemon's schema and the target tables are copied into the
//! temporary schema of one session, the same functions read the source and write the copies, and the copies are compared with
//! what they were. So there is no second write path, and what is predicted is what the real run does on an unchanged source,
//! target and day. The session is read-only but for its temporary tables, and everything ends with it.
//!
//! What the copies lack, and a prediction therefore cannot know: triggers of the target tables, and their foreign keys to
//! tables other than the four.

mod changes;
mod copies;
mod expected;
mod limit;
mod log;
mod measure;
mod store;

use std::sync::Arc;
use std::time::Instant;

use tokio_util::sync::CancellationToken;

pub use self::changes::{Estimate, Expectation, Preview, TableChanges, Updates};
pub use self::limit::{Limit, limits_passed};
pub use self::log::log;
pub use self::measure::Before;
use crate::apply::Applier;
use crate::backfill::{Backfill, UNKNOWN_POSITION, Until};
use crate::config::{Config, Schema};
use crate::connect::connect;
use crate::error::{Context as _, Error, Result, Server};
use crate::pg::{Client, Db, Tx};
use crate::report::{self, Contents, totals::Totals};
use crate::session::{self, preflight};
use crate::source::{RowReader, slot};
use crate::status::Stage;
use crate::store as stored;
use crate::store::backfill::{self, Progress};
use crate::store::halt;

/// What the sessions may do once the copies are made: temporary tables are excepted by the server.
const READ_ONLY: &str = "set default_transaction_read_only = on";

/// What is wanted of a dry run.
#[derive(Debug, Clone, Copy, Default)]
pub struct Options {
    /// Whether rows that nothing supports are removed (`--replace`).
    pub replace: bool,
    /// Whether a dry run gathers what a report holds beside the changes.
    pub report: bool,
}

/// What a dry run predicts.
#[derive(Debug, Default)]
pub struct Predicted {
    /// What becomes of the rows.
    pub changes: Preview,
    /// What would be there then, where that was asked for.
    pub contents: Option<Contents>,
}

/// Predicts what a backfill would do, and writes nothing that outlives its sessions. `None`: shutdown came first.
///
/// # Errors
/// Those of both servers, and the refusals that a backfill would meet.
pub async fn dry_run(
    config: &Config,
    options: Options,
    shutdown: &CancellationToken,
    show: &(dyn Fn(&Progress) + Sync),
) -> Result<Option<Predicted>> {
    let source = read_only_source(config).await?;
    let mut target = connect(&config.target.server, "tributary dry run", "target").await?;
    let found = preflight::connections(&target, &config.target.server, Server::Target).await?;
    preflight::require(Server::Target, found)?;
    preflight::require(Server::Target, preflight::target(&target, config, false).await?)?;
    let copied = copies::make(&mut target, config).await?;
    let mut applier = open(target, &source, &copied).await?;
    applier.db.batch("target: preparing the session", READ_ONLY).await?;
    let mut halts = Vec::new();
    let started = Instant::now();
    schedule(&applier, &source, &copied).await?;
    applier.scan_profiles(&|| {}).await?;
    loop {
        let session = Arc::new(read_only_source(config).await?);
        let work = Backfill {
            config: &copied,
            source: session,
            shutdown,
            progress: show,
            position: UNKNOWN_POSITION,
        };
        match work.run(&mut applier, Until::Done).await {
            Ok(true) => break,
            Ok(false) => return Ok(None),
            Err(Error::Halted(halt)) => {
                // An operator would accept it, or not: what is predicted is what comes then.
                Tx::on(&applier.db).rollback().await?;
                halts.push(halt.what());
                halt::record(&applier.db, Some(&halt)).await?;
                halt::accept(&applier.db, None).await?;
            }
            Err(other) => return Err(other),
        }
    }
    let seconds = started.elapsed().as_secs_f64();
    let mut preview = measure::measure(&mut applier, &copied, options.replace).await?;
    preview.dry_run = true;
    preview.halts = halts;
    preview.estimate.seconds = seconds;
    let contents = if options.report { Some(contents(&applier, &copied).await?) } else { None };
    Ok(Some(Predicted { changes: preview, contents }))
}

/// Measures what a backfill that has ended did, compared with `before`.
///
/// # Errors
/// Those of the target; a refusal where rows that are to be replaced are referenced.
pub async fn measured(
    applier: &mut Applier,
    config: &Config,
    options: Options,
    started: Instant,
) -> Result<Preview> {
    let seconds = started.elapsed().as_secs_f64();
    let mut preview = measure::measure(applier, config, options.replace).await?;
    preview.estimate.seconds = seconds;
    Ok(preview)
}

/// What the copies hold, before and afterwards.
async fn contents(applier: &Applier, copied: &Config) -> Result<Contents> {
    let (db, rules) = (&applier.db, &copied.rules);
    measure::wide(db).await?;
    let before = Totals::read(db.client(), &Before::tables(&copied.target), rules).await?;
    let contents = report::gather(db, copied, Some(before)).await?;
    measure::narrow(db).await?;
    Ok(contents)
}

async fn read_only_source(config: &Config) -> Result<Client> {
    let source = connect(&config.source.server, "tributary dry run", "source").await?;
    source.batch_execute(READ_ONLY).await.context("source: preparing the session")?;
    Ok(source)
}

/// An applier on the copies. `copied` names them.
async fn open(target: Client, source: &Client, copied: &Config) -> Result<Applier> {
    let recorded = stored::feed::recorded(&target).await?;
    let feeds = Arc::new(session::feeds(source, copied, &recorded).await?);
    let reading = Arc::new(read_only_source(copied).await?);
    let reader = RowReader::new(reading, &copied.source, Arc::clone(&feeds));
    let sql = "select epoch from tributary.installation";
    let row = target.query_one(sql, &[]).await.context("target: reading the installation")?;
    Applier::open(target, copied, feeds, reader, row.get(0), &[]).await
}

/// What a real run would begin with: a full reconcile, unless one was interrupted.
async fn schedule(applier: &Applier, source: &Client, config: &Config) -> Result<()> {
    session::recompute_after_new_rules(&applier.db, config, false).await?;
    let has_slot = slot::state(source, &config.source.slot).await?.is_some();
    let at = backfill::progress(&applier.db).await?;
    if !has_slot {
        // A new slot makes everything due.
        let sql = "delete from tributary.backfill_chunk";
        applier.db.batch("target: forgetting snapshots", sql).await?;
    }
    if !has_slot || at.is_none_or(|at| at.is_done()) {
        backfill::schedule(&applier.db, config, Stage::Rows).await?;
    }
    Ok(())
}

/// The session's own temporary schema.
async fn temporary_schema(db: &Client) -> Result<Schema> {
    const WHAT: &str = "target: making a temporary schema";
    // There is none before the first temporary table.
    db.batch_execute(measure::PREPARE).await.context(WHAT)?;
    let sql = "select nspname::text from pg_namespace where oid = pg_my_temp_schema()";
    let row = db.query_one(sql, &[]).await.context(WHAT)?;
    Ok(Schema::named(row.get::<_, &str>(0)))
}

/// Makes the working tables of a measurement on a session that has none yet.
async fn prepare(db: &Db) -> Result<()> {
    db.batch("target: preparing the measurement", measure::PREPARE).await
}
