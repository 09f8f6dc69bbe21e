//! The leader's lock, and waiting for it as a standby (P11).

use std::time::Duration;

use tokio_util::sync::CancellationToken;
use uuid::Uuid;

use super::installation::{self, Recorded};
use super::{OnLock, Watcher};
use crate::config::{Config, Schema};
use crate::connect::connect;
use crate::error::{Context, Error, Result};
use crate::migrate::WRITER_LOCK;
use crate::pg::{Client, Db};
use crate::store::backfill;

/// How often a waiting daemon asks for the lock.
const LOCK_INTERVAL: Duration = Duration::from_secs(2);
/// How long a command waits for the lock before it says that a daemon works.
const LOCK_PATIENCE: Duration = Duration::from_secs(3);

/// Opens a session on the target alone, for commands that need no source. Another daemon that works on the
/// target is `Ok(None)`.
///
/// # Errors
/// Those of the target; the refusal of a schema that belongs to another installation.
pub async fn lock_target(config: &Config) -> Result<Option<Client>> {
    let target = connect(&config.target.server, "tributary", "target").await?;
    installation::refuse_another_slot(&target, config).await?;
    if !try_lock(&target).await? {
        return Ok(None);
    }
    if installation::recorded(&target).await?.is_some() {
        installation::take_over(&target, config).await?;
    }
    Ok(Some(target))
}

/// Whether a daemon, or a command that writes, works on this target. Takes nothing.
///
/// # Errors
/// Those of the target.
pub async fn is_locked(db: &Db) -> Result<bool> {
    is_held(db.client()).await
}

/// As [`is_locked`], on a bare session.
pub(super) async fn is_held(target: &Client) -> Result<bool> {
    // A lock of one bigint is listed by its two halves.
    let sql = "select exists (select from pg_locks where locktype = 'advisory' and granted \
               and objsubid = 1 and ((classid::bigint << 32) | objid::bigint) = $1 \
               and database = (select oid from pg_database where datname = current_database()))";
    let lock = target.schema().lock(WRITER_LOCK);
    let row = target.query_one(sql, &[&lock]).await;
    Ok(row.context("target: looking at the writer's lock")?.get(0))
}

/// Waits for the lock; `false`: shutdown came first.
pub(super) async fn lock(
    target: &Client,
    config: &Config,
    on_lock: OnLock,
    shutdown: &CancellationToken,
    watcher: &Watcher<'_>,
) -> Result<bool> {
    let asked_at = tokio::time::Instant::now();
    let mut standby = Standby::default();
    loop {
        installation::refuse_another_slot(target, config).await?;
        if try_lock(target).await? {
            (watcher.waiting)(false);
            return Ok(true);
        }
        if on_lock == OnLock::Refuse {
            // The session of a daemon that has just ended may take the server a moment to end.
            if asked_at.elapsed() < LOCK_PATIENCE {
                tokio::time::sleep(LOCK_PATIENCE / 20).await;
                continue;
            }
            return Err(Error::refused(
                "a tributary daemon works on this target",
                "stop it first, or ask it: `tributary status`",
            ));
        }
        (watcher.waiting)(true);
        standby.compare(target, config).await?;
        tokio::select! {
            () = shutdown.cancelled() => return Ok(false),
            () = tokio::time::sleep(LOCK_INTERVAL) => {}
        }
    }
}

async fn try_lock(target: &Client) -> Result<bool> {
    let lock = target.schema().lock(WRITER_LOCK);
    let row = target
        .query_one("select pg_try_advisory_lock($1)", &[&lock])
        .await
        .context("target: asking for the writer's lock")?;
    let has_it = row.get(0);
    if has_it {
        // Beside it, so that `migrate` sees which version works ([`refuse_another_version`]).
        let sql = "select pg_advisory_lock_shared($1)";
        let lock = version_lock(target.schema(), env!("CARGO_PKG_VERSION"));
        target.execute(sql, &[&lock]).await.context("target: noting the version that works")?;
    }
    Ok(has_it)
}

/// The advisory lock that stands for a version at work.
fn version_lock(schema: &Schema, version: &str) -> i64 {
    let digest = crate::digest::uuid_v5(&Uuid::NAMESPACE_OID, version.as_bytes());
    schema.lock(digest.as_u64_pair().0.cast_signed())
}

/// Refuses to migrate under a daemon of another version, which would find tables that it does not know (SPEC §10).
///
/// # Errors
/// The refusal; those of the target.
pub async fn refuse_another_version(target: &Client) -> Result<()> {
    let sql = include_str!("sql/works_in_another_version.sql");
    let schema = target.schema();
    let locks = (schema.lock(WRITER_LOCK), version_lock(schema, env!("CARGO_PKG_VERSION")));
    let asked_at = tokio::time::Instant::now();
    // A session that begins takes the locks one after the other, and one that ends gives them back so.
    while asked_at.elapsed() < LOCK_PATIENCE {
        let row = target.query_one(sql, &[&locks.0, &locks.1]).await;
        let row = row.context("target: looking at the writer's lock")?;
        if !row.get::<_, bool>(0) {
            return Ok(());
        }
        tokio::time::sleep(LOCK_PATIENCE / 20).await;
    }
    Err(Error::refused(
        format!(
            "a tributary daemon of another version than {} works on this target",
            env!("CARGO_PKG_VERSION")
        ),
        "stop it first, and start this version in its place: `run` migrates by itself",
    ))
}

/// A daemon that waits for the lock, and what it has compared with the leader.
#[derive(Default)]
struct Standby {
    waits: bool,
    /// The leader's rules when they were last compared.
    compared: Option<String>,
    knows_source: bool,
}

impl Standby {
    /// Says once that it waits, and whenever the leader's rules are found to differ from its own; refuses a source
    /// that is not the leader's.
    async fn compare(&mut self, target: &Client, config: &Config) -> Result<()> {
        if !self.waits {
            tracing::info!("another tributary daemon works on this target; waiting for it to end");
            self.waits = true;
        }
        let Some(leader) = installation::recorded(target).await? else { return Ok(()) };
        if !self.knows_source {
            self.knows_source = refuse_another_source(config, &leader).await?;
        }
        if leader.rules.is_some() && leader.rules != self.compared {
            if leader.rules.as_ref() != Some(&backfill::rules(config)) {
                tracing::warn!(
                    "the rules of this standby differ from those of the daemon that works: \
                     taking over will recompute with its own; make the configurations and versions equal"
                );
            }
            self.compared = leader.rules;
        }
        Ok(())
    }
}

/// A daemon of another source must not wait to take over this target. `false`: the source could not be asked yet.
pub(super) async fn refuse_another_source(config: &Config, leader: &Recorded) -> Result<bool> {
    let Ok(source) = connect(&config.source.server, "tributary", "source").await else {
        return Ok(false);
    };
    let sql = "select current_database()::text";
    let row = source.query_one(sql, &[]).await.context("source: asking for the database")?;
    let (system, database) = (installation::system(&source).await, Some(row.get(0)));
    let differs = |recorded: &Option<String>, own: &Option<String>| {
        recorded.is_some() && own.is_some() && recorded != own
    };
    if differs(&leader.source_system, &system) || differs(&leader.source_database, &database) {
        return Err(Error::refused(
            "the daemon that works on this target follows another source server or database",
            "configure another target database for this source, or name the same source",
        ));
    }
    Ok(true)
}
