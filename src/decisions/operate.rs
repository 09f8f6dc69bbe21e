//! What operators ask of the daemon that decides nothing about people: accept, pause, rollout, reconcile.

use super::queue;
use crate::apply::Applier;
use crate::backup;
use crate::error::{Error, Result};
use crate::pg::{Db, Tx};
use crate::store::backfill;
use crate::store::operation_log::{self, Operator};

pub(super) async fn accept(db: &Db, seen: Option<&str>) -> Result<String> {
    let halt = crate::store::halt::accept(db, seen).await?;
    Ok(format!("accepted: {}", halt.what()))
}

pub(super) async fn pause(db: &Db, by: Option<&str>) -> Result<String> {
    crate::store::halt::set_paused(db, by).await?;
    Ok(match by {
        Some(_) => "the stream is paused: the source keeps its log until it is resumed",
        None => "the stream goes on",
    }
    .to_owned())
}

/// After a rollback the running daemon goes on: everything is due to be read already.
pub(super) async fn backfill_again(db: &Db) -> Result<String> {
    if !crate::store::halt::is_rolled_back(db).await? {
        return Err(Error::refused(
            "a tributary daemon works on this target",
            "stop it first; after a rollback it would read the feeds again when asked",
        ));
    }
    backup::resume_after(db, "backfill").await?;
    Ok("the daemon reads the feeds again".to_owned())
}

/// Everything is due to be read, and a backup before it: the running daemon begins another session with both.
pub(super) async fn reconcile(applier: &Applier, tx: &Tx, actor: &str) -> Result<String> {
    let db = tx.db();
    // After a rollback one is scheduled, of which nothing is done.
    if !crate::store::halt::is_rolled_back(db).await?
        && backfill::progress(db).await?.is_some_and(|at| !at.is_done())
    {
        return Err(Error::refused(
            "a backfill is under way already",
            "wait until it is done: `tributary status`, or tributary.status(), shows how far it is",
        ));
    }
    backup::read_again(db).await?;
    backup::resume_after(db, "backfill").await?;
    let operator = Operator { asked_by: Some(actor.to_owned()), ..applier.operator.clone() };
    operation_log::begin_backfill(db, &operator).await?;
    Ok("the daemon reads the feeds again".to_owned())
}

/// Records how far the rollout is to be, and has everybody recomputed, in one commit.
pub(super) async fn rollout(db: &Db, percent: u8, actor: &str) -> Result<String> {
    let percent = percent.min(100);
    let before = crate::store::outside::set(db, percent).await?;
    queue::ask_for_rebuild(db, actor).await?;
    Ok(format!("the rollout is at {percent} percent now, after {before}; everybody is recomputed"))
}
