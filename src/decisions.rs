//! Decisions (SPEC §7): what people decided about conflicts, carried out at once by the one writer.
//!
//! A decision is an input like the source rows: it survives every rebuild, a fresh backfill gives the same
//! answer with it, and it can be reverted. Each request is one target transaction: recorded and carried
//! out together, or refused with a reason.

mod alias;
pub mod erase;
mod on_target;
mod operate;
pub mod preview;
pub mod queue;
mod record;
mod request;
mod rows;
pub mod snapshot;

pub use self::on_target::execute_on_target;
use self::on_target::refused;
use self::operate::{accept, backfill_again, pause, reconcile, rollout};
use self::record::{Decision, credit, record, revert};
pub use self::request::{Command, Request, may_follow_a_rollback, needs_target_alone};
use crate::apply::{Applier, Mode};
use crate::backup;
use crate::engine::rows::{RowPlan, Touched};
use crate::error::{Error, Result};
use crate::facts::{EmailKey, email_key};
use crate::failpoint;
use crate::pg::Tx;
use crate::rules::Product;
use crate::store::operation_log::{self, Finish, Outcome};
use uuid::Uuid;

/// Carries a queued command out and answers it, in one transaction of its own that is on disk when this returns
/// (P7): a command is never carried out twice, and what was answered is not lost.
///
/// # Errors
/// A refusal with the reason; those of the target. Nothing was done then, and nothing answered.
pub async fn execute(applier: &mut Applier, id: i64, command: &Command, actor: &str) -> Result<()> {
    if let Request::Preview { of } = &command.request {
        let answer = preview::preview(applier, of, actor).await?;
        return queue::record(&applier.db, id, true, answer).await;
    }
    // What somebody else changed is not seen by the digests.
    let is_repair = matches!(command.request, Request::Repair(_));
    let mode = if is_repair { Mode::COMPARED } else { Mode::STREAM };
    match attempt(applier, id, command, actor, mode).await {
        Err(Error::Data { .. }) => attempt(applier, id, command, actor, Mode::CAREFUL).await,
        other => other,
    }
}

async fn attempt(
    applier: &mut Applier,
    id: i64,
    command: &Command,
    actor: &str,
    mode: Mode,
) -> Result<()> {
    let tx = applier.begin().await?;
    match within(applier, &tx, id, command, actor, mode).await {
        Ok(()) => {
            tx.commit().await?;
            failpoint::hit("command-answered");
            // Dismissals and decisions about rows are known by heart.
            applier.load_decisions().await
        }
        Err(error) => {
            tx.rollback().await?;
            applier.load_decisions().await?;
            Err(error)
        }
    }
}

/// The ids of the courses that `migrate` inserts.
pub(crate) fn courses(products: &[Product]) -> Vec<Uuid> {
    products.iter().filter(|product| product.course).map(|product| product.id).collect()
}

async fn within(
    applier: &mut Applier,
    tx: &Tx,
    id: i64,
    command: &Command,
    actor: &str,
    mode: Mode,
) -> Result<()> {
    tx.batch("target: durable commit", "set local synchronous_commit = on").await?;
    let note = command.note.as_deref();
    if !may_follow_a_rollback(&command.request) {
        crate::store::halt::refuse_rolled_back(tx.db()).await?;
    }
    let by = By { actor, note, conflict: command.conflict };
    let answer = match &command.request {
        Request::Accept { halt } => accept(tx.db(), halt.as_deref()).await?,
        Request::Pause => pause(tx.db(), Some(actor)).await?,
        Request::Resume => pause(tx.db(), None).await?,
        Request::Repair(what) => {
            applier.repair(tx, what, mode).await?.count();
            format!("recomputed {} units", what.len())
        }
        Request::Rollout { percent } => rollout(tx.db(), *percent, by.actor).await?,
        Request::Rollback { run, discard } => {
            let (courses, operator) = (courses(&applier.env.rules.products), &applier.operator);
            let done = backup::carry_out(tx.db(), run, *discard, &courses, operator, actor).await?;
            return queue::record(tx.db(), id, true, done).await;
        }
        Request::Backfill => backfill_again(tx.db()).await?,
        Request::Reconcile => reconcile(applier, tx, actor).await?,
        Request::Erase { email } => {
            let email = parse_email(email)?;
            erase::erase(applier, tx, id, &email).await?
        }
        decision => decide(applier, tx, decision, &by, mode).await?,
    };
    failpoint::hit("command-executed");
    queue::record(tx.db(), id, true, answer).await?;
    let request = &command.request;
    let done = Finish::new(Outcome::Done).counted(request.units(), 0).with(request.logged());
    let operation = command.request.operation();
    if matches!(command.request, Request::Backfill | Request::Reconcile) {
        // The backfill has its own entry.
        return Ok(());
    }
    operation_log::record_command(tx.db(), &applier.operator, operation, id, &done).await
}

/// Records a decision and carries it out, inside the open transaction. Its preview calls nothing else.
async fn decide(
    applier: &mut Applier,
    tx: &Tx,
    request: &Request,
    by: &By<'_>,
    mode: Mode,
) -> Result<String> {
    let (answer, effect) = match request {
        Request::Alias { from, to } => alias::alias(applier, tx, from, to, by).await?,
        Request::Separate { a, b } => alias::separate(tx, a, b, by).await?,
        Request::Email { row, address } => rows::email(applier, tx, row, address, by).await?,
        Request::Product { row, code } => rows::product(applier, tx, row, code, by).await?,
        Request::Dismiss { conflicts } => {
            let done = rows::dismiss(tx.db(), conflicts, by).await?;
            applier.watch_conflicts(tx, conflicts).await?;
            (done, Effect::default())
        }
        Request::Revert { decision } => revert(applier, tx, *decision, by).await?,
        _ => {
            return Err(Error::refused(
                "this request is not carried out within a transaction that decides",
                "this is a bug: please report it",
            ));
        }
    };
    if !effect.touched.is_empty() || !effect.plan.writes.is_empty() {
        let report = applier.settle(tx, effect.plan, effect.touched, mode, None).await?;
        // What a preview writes does not stay.
        if !applier.watch.is_on() {
            report.count();
        }
    }
    if let Some(conflict) = by.conflict {
        credit(tx, conflict, by).await?;
        applier.watch_conflicts(tx, &[conflict]).await?;
    }
    Ok(answer)
}

/// What a decision changes: rows that are placed again, and whom it touches.
#[derive(Default)]
struct Effect {
    plan: RowPlan,
    touched: Touched,
}

impl From<Touched> for Effect {
    fn from(touched: Touched) -> Self {
        Self { plan: RowPlan::default(), touched }
    }
}

/// Who decides, why, and about which conflict.
struct By<'a> {
    actor: &'a str,
    note: Option<&'a str>,
    conflict: Option<i64>,
}

/// An address that a person typed, as a key.
///
/// # Errors
/// A refusal of what is none.
pub fn parse_email(text: &str) -> Result<EmailKey> {
    email_key(text).0.map_err(|reason| {
        Error::refused(
            format!("that is not an e-mail address to match people by ({})", reason.as_str()),
            "write one plain address, such as maria@example.com",
        )
    })
}
