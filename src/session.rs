//! Opening a writing session: the lock on the target, the schema, the slot and where to go on from.
//!
//! # One writer (P11)
//!
//! The writer holds a session advisory lock on the target for as long as its connection lives. A second
//! daemon asks for it every `LOCK_INTERVAL`; when the first one's session ends, however it ends, the
//! lock is free. TCP keepalives of the target are set so short that a host that vanished is noticed within
//! the 15 s of P11 too.
//!
//! # Slot and checkpoint (P12)
//!
//! | slot    | checkpoint | then |
//! |---------|------------|------|
//! | there   | there      | go on from the checkpoint |
//! | missing | missing    | make the slot, backfill |
//! | missing | there      | it was lost: make a new one, reconcile |
//! | there   | missing    | refuse: it is another target's, or this target was emptied |
//! | invalid | any        | drop it, make a new one, reconcile |
//!
//! A publication or table that was altered since the stream was last followed may have left changes out: reconcile too,
//! once the stream has passed the moment when that was seen ([`Due`]).
//!
//! The backfill that a new slot makes necessary is scheduled in the commit of its first checkpoint (P1): there is
//! no moment at which a process may die and leave a checkpoint whose tables nobody reads. A checkpoint without
//! any backfill, as earlier versions could leave it, is due for one.
//!
//! See <https://www.postgresql.org/docs/current/logicaldecoding-explanation.html>.

mod installation;
mod lock;
mod noticed;
pub mod preflight;
mod resume;

use std::future::Future;
use std::sync::Arc;
use std::time::Duration;

use tokio_util::sync::CancellationToken;

pub use self::installation::{
    Leadership, note_position, record_failure, refuse_another_slot, retire, settle, take_over,
};
pub use self::lock::{is_locked, lock_target, refuse_another_version};
pub use self::noticed::{Due, note_hidden, note_print};
pub use self::resume::{checkpoint, knows_slot, unknown_slot};
use crate::apply::Applier;
use crate::config::{Config, FeedConfig};
use crate::connect::connect;
use crate::engine::{FeedEntry, FeedLayout, Feeds};
use crate::error::{Context, Error, Result, Server};
use crate::lsn::Lsn;
use crate::pg::{Client, Db};
use crate::source::{self, RowReader, Watch, publication};
use crate::status::Stage;
use crate::store::backfill;
use crate::store::feed::Recorded;
use crate::{failpoint, migrate, store};

/// How often watchers are notified that a long step goes on.
const ALIVE_INTERVAL: Duration = Duration::from_secs(1);

/// A session that may write.
pub struct Session {
    /// Applies changes.
    pub applier: Applier,
    /// A session on the source.
    pub source: Arc<Client>,
    /// Everything the source committed up to here is applied.
    pub checkpoint: Lsn,
    /// Publication and tables as they were at the start.
    pub publication: Watch,
    /// What must be read again because they are not as they were.
    pub due: Option<Due>,
    /// As what this daemon writes.
    pub leadership: Leadership,
}

/// Watchers notified while a session opens.
pub struct Watcher<'a> {
    /// Whether this daemon waits for another one to end.
    pub waiting: &'a (dyn Fn(bool) + Sync),
    /// That a long step goes on (P17).
    pub alive: &'a (dyn Fn() + Sync),
}

impl Watcher<'_> {
    /// Nobody.
    pub const NOBODY: Watcher<'static> = Watcher { waiting: &|_| {}, alive: &|| {} };

    /// Awaits a step that may take long, and says meanwhile that it goes on.
    pub(crate) async fn during<T>(&self, step: impl Future<Output = T>) -> T {
        tokio::pin!(step);
        loop {
            (self.alive)();
            tokio::select! {
                done = &mut step => return done,
                () = tokio::time::sleep(ALIVE_INTERVAL) => {}
            }
        }
    }
}

/// What to do when another daemon holds the lock.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum OnLock {
    /// Wait until it is free, or shutdown.
    Wait,
    /// Give up at once.
    Refuse,
}

/// Opens a session. `None`: shutdown came while waiting for the lock or for the slot.
///
/// # Errors
/// Those of both servers; refusals with their remedy.
pub async fn open(
    config: &Config,
    on_lock: OnLock,
    shutdown: &CancellationToken,
    watcher: &Watcher<'_>,
) -> Result<Option<Session>> {
    let mut target = connect(&config.target.server, "tributary", "target").await?;
    // Before the lock: behind a pooler it would stay with a session of the pooler.
    let found = preflight::connections(&target, &config.target.server, Server::Target).await?;
    preflight::require(Server::Target, found)?;
    session_settings(&target).await?;
    if !lock::lock(&target, config, on_lock, shutdown, watcher).await? {
        return Ok(None);
    }
    preflight::require(Server::Target, preflight::target(&target, config, false).await?)?;
    let leadership = watcher.during(lead(&mut target, config)).await?;
    failpoint::hit("schema-migrated");
    let source = Arc::new(connect(&config.source.server, "tributary", "source").await?);
    let found = preflight::connections(&source, &config.source.server, Server::Source).await?;
    preflight::require(Server::Source, found)?;
    notice_dead_clients(&source, "source").await;
    let recorded = store::feed::recorded(&target).await?;
    let noticed = noticed::Noticed::read(&target).await?;
    let mut publication = Watch::begin(Arc::clone(&source), &config.source).await?;
    let tables = publication.catalog().await?;
    let feeds = Arc::new(feeds(&source, config, &recorded).await?);
    let known = |feed: &FeedConfig| {
        let known = recorded.iter().find(|known| known.name == feed.name);
        known.is_some_and(|known| known.columns.is_some())
    };
    let is_new = |feed: &FeedConfig| !known(feed) || noticed.replaces(&feed.name, &tables);
    // It waits for locks of the tables.
    let ensured = watcher.during(publication::ensure(&source, &config.source, &is_new)).await;
    ensured.map_err(|error| noticed::halting(error, config.source.feeds.iter().all(known)))?;
    publication.print = publication.now().await?;
    noticed::is_same(&tables, publication.print.as_ref())?;
    let resume =
        resume::Resume { source: &source, target: &target, config, leadership, watcher, shutdown };
    let Some(found) = resume.checkpoint().await? else { return Ok(None) };
    // What a new slot sends begins after the tables were looked at, and everything is read.
    let altered = noticed.due(&publication, &source).await?;
    let due = altered.clone().filter(|_| !found.is_new);
    let reader = RowReader::new(Arc::clone(&source), &config.source, Arc::clone(&feeds));
    let later = due.as_ref().map(Due::feeds).unwrap_or_default();
    // Rows that were stored with other columns cannot be read until their feed is: everybody is recomputed after that.
    let reads_first = recorded.iter().filter(|known| later.contains(&known.name)).any(|known| {
        known.columns.as_ref().is_some_and(|stored| *stored != feeds.stored_columns(known.feed))
    });
    let opened = Applier::open(target, config, feeds, reader, leadership.epoch, &later);
    let applier = watcher.during(opened).await?;
    if backfill::progress(&applier.db).await?.is_none() {
        tracing::warn!("the checkpoint has no backfill; reading the source");
        backfill::schedule(&applier.db, config, Stage::Rows).await?;
    }
    if let Some(altered) = altered.filter(|_| found.is_new) {
        altered.schedule_truncated(&applier, config).await?;
    }
    if due.is_none() {
        note_print(&applier.db, publication.print.as_ref()).await?;
    }
    recompute_after_new_rules(&applier.db, config, reads_first).await?;
    failpoint::hit("session-opened");
    let checkpoint = found.lsn;
    Ok(Some(Session { applier, source, checkpoint, publication, due, leadership }))
}

/// The feeds with their numbers, and how their rows are read by what the source's catalog says now.
pub(crate) async fn feeds(
    source: &Client,
    config: &Config,
    recorded: &[Recorded],
) -> Result<Feeds> {
    let mut entries = Vec::new();
    for info in store::feed::numbered(recorded, &config.source.feeds)? {
        let configured = config.source.feeds.iter().find(|feed| feed.name == info.name);
        let layout = match configured {
            Some(feed) => {
                let known = recorded.iter().find(|known| known.name == feed.name);
                let layout = source::layout(source, feed, &info).await;
                layout.map_err(|error| gone(error, feed, known))?
            }
            None => FeedLayout::Removed,
        };
        entries.push(FeedEntry { info, layout });
    }
    Ok(Feeds::new(entries))
}

/// A table or column that is not there is an error of the configuration, unless it was read before.
fn gone(error: Error, feed: &FeedConfig, known: Option<&Recorded>) -> Error {
    let Error::Config(problem) = error else { return error };
    let was_read = known.is_some_and(|known| {
        let columns = || known.columns.iter().flatten().map(|(column, _)| column.name.as_str());
        known.table.as_ref() == Some(&feed.table.quoted())
            && feed.columns().into_iter().all(|name| columns().any(|known| known == name))
    });
    if !was_read {
        return Error::Config(problem);
    }
    let name = &feed.name;
    let remedy = format!(
        "bring back what is missing, and the daemon goes on by itself; or name in [feeds.{name}] where it is now, or take \
         [feeds.{name}] out of the configuration, which takes away what came from it, and restart"
    );
    Error::Gone { problem, remedy }
}

/// Becomes the leader, with the schema up to date. A former leader is fenced off before anything is migrated.
async fn lead(target: &mut Client, config: &Config) -> Result<Leadership> {
    if installation::recorded(target).await?.is_some() {
        take_over(target, config).await?;
    }
    if config.run.migrate {
        for line in migrate::logged(target, config, false).await? {
            tracing::info!(done = line, "migrated");
        }
    } else {
        require_schema(target).await?;
    }
    take_over(target, config).await
}

/// Has the server notice the end of this process, and nothing time out meanwhile.
async fn session_settings(target: &Client) -> Result<()> {
    let keepalives = "set tcp_keepalives_idle = 5; set tcp_keepalives_interval = 2; \
                      set tcp_keepalives_count = 3; set synchronous_commit = off";
    target.batch_execute(keepalives).await.context("target: session settings")?;
    notice_dead_clients(target, "target").await;
    Ok(())
}

/// Has the server end this session soon after this process died, also while a statement waits for a lock of
/// the application: the next daemon takes over within the 15 s of P11, and a slot that was being created is free.
async fn notice_dead_clients(client: &Client, server: &'static str) {
    let sql = "set client_connection_check_interval = '2s'";
    if let Err(error) = client.batch_execute(sql).await {
        let error = Error::postgres(format!("{server}: session settings"), &error);
        tracing::warn!(%error, "the server cannot watch over its clients; a take-over may take longer");
    }
}

/// A daemon that does not migrate needs the schema of its own version.
async fn require_schema(target: &Client) -> Result<()> {
    migrate::refuse_newer(target).await?;
    let (found, known) = migrate::versions(target).await?;
    let is_current = match found {
        Some(found) => found == known,
        // The role may not read the history.
        None => {
            let sql = include_str!("sql/is_migrated.sql");
            let row = target.query_one(sql, &[]).await;
            row.context("target: looking for schema tributary")?.get(0)
        }
    };
    if is_current {
        return Ok(());
    }
    Err(Error::refused(
        format!(
            "the target's schema {} is missing or older than this version, and run.migrate is false",
            target.schema().name()
        ),
        "run `tributary migrate` once",
    ))
}

/// A changed rule is noticed by its hash: owners and people are decided again from the stored rows. A backfill that began
/// under other rules starts over. `reads_first`: a reconcile that is due brings the rules in, under its guard (P9), as
/// stored rows cannot be read before.
pub(crate) async fn recompute_after_new_rules(
    db: &Db,
    config: &Config,
    reads_first: bool,
) -> Result<()> {
    let under_way = backfill::progress(db).await?.filter(|at| !at.is_done());
    if let Some(at) = under_way {
        if at.rules.as_deref() != Some(backfill::rules(config).as_str()) {
            tracing::info!("the rules changed during a backfill; it starts over");
            backfill::start_over(db, config, &at).await?;
        }
    } else if !reads_first && backfill::MadeBy::read(db).await?.differs(config) {
        tracing::info!("the rules changed; recomputing everybody from the stored rows");
        backfill::schedule(db, config, Stage::Place).await?;
    }
    Ok(())
}
