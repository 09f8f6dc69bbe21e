//! Requests that need the target alone, where no daemon runs: on a session that holds the lock.

use super::operate::{accept, pause};
use super::{By, Command, Request, courses, rows};
use crate::backup;
use crate::config::Config;
use crate::error::{Error, Result};
use crate::pg::Db;
use crate::store::operation_log::{self, Finish, Operator, Outcome};

/// Carries a request that needs the target alone out on a session that holds the lock.
///
/// # Errors
/// As [`super::execute`].
pub async fn execute_on_target(
    config: &Config,
    db: &Db,
    operator: &Operator,
    command: &Command,
    actor: &str,
) -> Result<String> {
    let (started_at, request) = (jiff::Timestamp::now(), &command.request);
    let operator = Operator { asked_by: Some(actor.to_owned()), ..operator.clone() };
    let by = By { actor, note: command.note.as_deref(), conflict: command.conflict };
    db.batch("target: beginning", "begin; set local synchronous_commit = on").await?;
    let done = match &command.request {
        Request::Dismiss { conflicts } => rows::dismiss(db, conflicts, &by).await,
        Request::Accept { halt } => accept(db, halt.as_deref()).await,
        Request::Pause => pause(db, Some(actor)).await,
        Request::Resume => pause(db, None).await,
        // Before anything is read there is nothing to recompute.
        Request::Rollout { percent } => {
            let percent = (*percent).min(100);
            let set = crate::store::outside::set(db, percent).await;
            set.map(|_| format!("the rollout is at {percent} percent from the first backfill on"))
        }
        Request::Rollback { run, discard } => {
            let courses = courses(&config.rules.products);
            backup::carry_out(db, run, *discard, &courses, &operator, actor).await
        }
        _ => Err(Error::failed("a decision", "it needs the source")),
    };
    let is_logged = matches!(request, Request::Rollback { .. });
    if done.is_ok() && !is_logged {
        let end = Finish::new(Outcome::Done).counted(request.units(), 0).with(request.logged());
        operation_log::record(db.client(), &operator, request.operation(), started_at, &end)
            .await?;
    }
    let (end, what) = if done.is_ok() {
        ("commit", "target: committing")
    } else {
        ("rollback", "target: going back")
    };
    db.batch(what, end).await?;
    if let Err(error) = &done {
        let end = refused(error, request);
        operation_log::record(db.client(), &operator, request.operation(), started_at, &end)
            .await?;
    }
    done
}

/// The end of a request that was not carried out. Its reason may name people, and is in its answer.
pub(super) fn refused(error: &Error, request: &Request) -> Finish {
    let units = request.units();
    let end = Finish::new(Outcome::of(error)).counted(units, units).with(request.logged());
    // That of a rollback names tables and counts alone.
    let is_discreet = matches!(request, Request::Rollback { .. });
    if is_discreet { Finish { errors: vec![error.to_string()], ..end } } else { end }
}
