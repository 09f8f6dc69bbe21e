//! The rows of `tributary.command` that are jobs.

use std::sync::Arc;

use jiff::Timestamp;
use serde_json::Value;
use tokio::sync::Notify;

use super::Job;
use crate::config::{Config, quote_identifier};
use crate::connect::connect_listening;
use crate::error::{Context as _, Error, Result};
use crate::migrate::JOBS_LOCK;
use crate::pg::{Db, Param};
use crate::store::epoch::begin_fenced;
use crate::validate;

const WHAT: &str = "target: serving requests by SQL";

/// A job that waits for its answer.
pub(super) struct Waiting {
    pub(super) id: i64,
    /// The role that asked.
    pub(super) actor: String,
    pub(super) asked_at: Timestamp,
    /// What is wrong with it, otherwise.
    pub(super) job: Result<Job, String>,
}

/// The session that serves. While it is open, it shares the lock by which the procedures know that somebody does.
pub(super) struct Queue {
    db: Db,
}

impl Queue {
    /// Opens the session.
    pub(super) async fn open(config: &Config, notified: Arc<Notify>) -> Result<Self> {
        let server = &config.target.server;
        let client = connect_listening(server, "tributary jobs", "target", notified).await?;
        let channel = quote_identifier(&client.schema().channel());
        let sql = format!("set synchronous_commit = on; listen {channel}");
        client.batch_execute(&sql).await.context(WHAT)?;
        Ok(Self { db: Db::new(client) })
    }

    /// Leaves the validation pack for `tributary.validate()`, and shows from then on that it is served.
    pub(super) async fn serve(&self, config: &Config, epoch: i64) -> Result<()> {
        self.leave_the_pack(config, epoch).await?;
        let lock = self.db.client().schema().lock(JOBS_LOCK);
        self.db.query(WHAT, "select pg_advisory_lock_shared($1)", &[&lock]).await.map(drop)
    }

    /// The epoch of whoever leads. Read before it is looked whether that is this daemon: what is written under it is refused where
    /// another one has taken over since (P11).
    pub(super) async fn epoch(&self) -> Result<i64> {
        let rows = self.db.query(WHAT, "select epoch from tributary.installation", &[]).await?;
        Ok(rows.first().map_or(0, |row| row.get(0)))
    }

    async fn leave_the_pack(&self, config: &Config, epoch: i64) -> Result<()> {
        let pack = validate::queries(config);
        let numbers: Vec<i32> = (1..).take(pack.len()).collect();
        let (names, queries): (Vec<&str>, Vec<String>) = pack.into_iter().unzip();
        let params: [Param<'_>; 3] = [&numbers, &names, &queries];
        let sql = "select (select array_agg(number order by number) from tributary.validation_pack) is not distinct from $1 \
                   and (select array_agg(name order by number) from tributary.validation_pack) is not distinct from $2 \
                   and (select array_agg(query order by number) from tributary.validation_pack) is not distinct from $3";
        if self.db.query(WHAT, sql, &params).await?.first().is_some_and(|row| row.get(0)) {
            return Ok(());
        }
        self.fenced(epoch, async || {
            self.db.execute(WHAT, "delete from tributary.validation_pack", &[]).await?;
            let sql = "insert into tributary.validation_pack (number, name, query) \
                       select * from unnest($1::int[], $2::text[], $3::text[])";
            self.db.execute(WHAT, sql, &params).await
        })
        .await
    }

    /// In a transaction that a daemon which has taken over refuses (P11).
    async fn fenced(&self, epoch: i64, work: impl AsyncFnOnce() -> Result<u64>) -> Result<()> {
        begin_fenced(self.db.client(), epoch).await?;
        let done = work().await;
        self.db.batch(WHAT, if done.is_ok() { "commit" } else { "rollback" }).await?;
        done.map(drop)
    }

    /// The oldest job without an answer.
    pub(super) async fn next(&self) -> Result<Option<Waiting>> {
        let sql = "select id, actor, created_at, request -> 'job' from tributary.command \
                   where finished_at is null and request ? 'job' order by id limit 1";
        let rows = self.db.query(WHAT, sql, &[]).await?;
        Ok(rows.first().map(|row| Waiting {
            id: row.get(0),
            actor: row.get(1),
            asked_at: row.get(2),
            job: serde_json::from_value(row.get(3)).map_err(|error| error.to_string()),
        }))
    }

    /// Notes that it is begun; returns for which time. What earlier attempts handed on stays noted.
    pub(super) async fn begin(&self, id: i64) -> Result<i64> {
        let sql = "update tributary.command set state = (coalesce(state, '{}') - 'at') || jsonb_build_object('attempts', \
                   coalesce((state ->> 'attempts')::bigint, 0) + 1) where id = $1 and finished_at is null \
                   returning (state ->> 'attempts')::bigint";
        let rows = self.db.query(WHAT, sql, &[&id]).await?;
        let attempts = rows.first().map(|row| row.get(0));
        attempts.ok_or_else(|| Error::unavailable(WHAT, "the request was withdrawn"))
    }

    /// Notes how far it is.
    pub(super) async fn note(&self, id: i64, at: Option<String>) -> Result<()> {
        let sql = "update tributary.command set state = state || jsonb_build_object('at', $2::text) \
                   where id = $1 and finished_at is null and state ->> 'at' is distinct from $2";
        self.db.execute(WHAT, sql, &[&id, &at]).await.map(drop)
    }

    /// One job at a time: long work of two would wait for each other.
    pub(super) async fn refuse_others(&self, than: &Waiting) -> Result<()> {
        let reason = format!(
            "the daemon carries out request {} of {} since {}\n  remedy: wait until it is done, then repeat",
            than.id,
            than.actor,
            than.asked_at.strftime("%Y-%m-%d %H:%M:%S UTC"),
        );
        let sql = "update tributary.command set finished_at = now(), ok = false, answer = $2 \
                   where finished_at is null and request ? 'job' and id <> $1";
        self.db.execute(WHAT, sql, &[&than.id, &Value::String(reason)]).await.map(drop)
    }

    /// Answers, on disk when this returns (P7). It is answered once, whoever carried it out.
    pub(super) async fn answer(&self, epoch: i64, id: i64, ok: bool, answer: Value) -> Result<()> {
        self.fenced(epoch, async || {
            let sql = "update tributary.command set finished_at = now(), ok = $2, answer = $3 \
                       where id = $1 and finished_at is null";
            self.db.execute(WHAT, sql, &[&id, &ok, &answer]).await
        })
        .await
    }
}
