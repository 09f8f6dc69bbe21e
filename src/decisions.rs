//! Decisions (SPEC §7): what people decided about conflicts, carried out at once by the one writer.
//!
//! A decision is an input like the source rows: it survives every rebuild, a fresh backfill gives the same
//! answer with it, and it can be reverted. Each request is one target transaction: recorded and carried
//! out together, or refused with a reason.

mod alias;
pub mod erase;
pub mod preview;
pub mod queue;
mod rows;
pub mod snapshot;

use serde::{Deserialize, Serialize};

use crate::apply::{Applier, Mode, Repair};
use crate::backup;
use crate::config::Config;
use crate::engine::rows::{RowPlan, Touched};
use crate::error::{Error, Result};
use crate::facts::{EmailKey, email_key};
use crate::failpoint;
use crate::pg::{Db, Tx};
use crate::rules::Product;
use crate::store::backfill;
use crate::store::operation_log::{self, Finish, Operation, Operator, Outcome};
use uuid::Uuid;

/// What an operator asks for.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "do", rename_all = "snake_case")]
pub enum Request {
    /// The facts of `from` belong to person `to`.
    Alias {
        /// The address that is given up.
        from: String,
        /// The address that remains.
        to: String,
    },
    /// These two are different people.
    Separate {
        /// One address.
        a: String,
        /// The other one.
        b: String,
    },
    /// Use this address for that source row.
    Email {
        /// `<feed>:<key>`.
        row: String,
        /// The address.
        address: String,
    },
    /// This payment is for that product.
    Product {
        /// `<feed>:<key>`.
        row: String,
        /// The product's code.
        code: String,
    },
    /// These conflicts need nothing, as long as their evidence is the same.
    Dismiss {
        /// Their ids.
        conflicts: Vec<i64>,
    },
    /// Take a decision back.
    Revert {
        /// Its id.
        decision: i64,
    },
    /// Apply the guarded delete that the daemon halted in front of (P9).
    Accept {
        /// The identity of the halt that was shown ([`crate::halt::Halt::identity`]); `None`: whichever is pending.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        halt: Option<String>,
    },
    /// Apply nothing of the stream.
    Pause,
    /// Go on with the stream.
    Resume,
    /// Recompute everybody from the stored facts.
    Rebuild,
    /// Write the target rows of this percentage of the people (SPEC §7a).
    Rollout {
        /// From 0 to 100.
        percent: u8,
    },
    /// Forget a person.
    Erase {
        /// An address of it.
        email: String,
    },
    /// Recompute what `verify` found to differ.
    Repair(Repair),
    /// Bring the target tables back to a backup, and halt.
    Rollback {
        /// The backup.
        run: String,
        /// Whether what the application wrote since may be lost.
        discard: bool,
    },
    /// End the halt after a rollback, and read the feeds again.
    Backfill,
    /// Take a backup and read the feeds again, also where nothing was rolled back.
    Reconcile,
    /// Say what these decisions would change, one after another, and change nothing. The answer is a
    /// [`preview::Preview`] as JSON; it names people, and goes when it is read.
    Preview {
        /// The decisions.
        of: Vec<Command>,
    },
}

/// A request with who made it and why.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Command {
    /// What.
    pub request: Request,
    /// Why.
    pub note: Option<String>,
    /// The conflict that it resolves.
    pub conflict: Option<i64>,
}

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

/// Whether a request touches nothing but conflicts and the halt, and so needs neither facts nor source, nor the rules.
#[must_use]
pub fn needs_target_alone(request: &Request) -> bool {
    matches!(
        request,
        Request::Dismiss { .. }
            | Request::Accept { .. }
            | Request::Rollback { .. }
            | Request::Pause
            | Request::Resume
    )
}

/// Whether a request may be carried out while the target is rolled back.
#[must_use]
pub fn may_follow_a_rollback(request: &Request) -> bool {
    needs_target_alone(request) || matches!(request, Request::Backfill | Request::Reconcile)
}

/// Carries such a request out on a session that holds the lock.
///
/// # Errors
/// As [`execute`].
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
fn refused(error: &Error, request: &Request) -> Finish {
    let units = request.units();
    let end = Finish::new(Outcome::of(error)).counted(units, units).with(request.logged());
    // That of a rollback names tables and counts alone.
    let is_discreet = matches!(request, Request::Rollback { .. });
    if is_discreet { Finish { errors: vec![error.to_string()], ..end } } else { end }
}

/// The ids of the courses that `migrate` inserts.
pub(crate) fn courses(products: &[Product]) -> Vec<Uuid> {
    products.iter().filter(|product| product.course).map(|product| product.id).collect()
}

async fn accept(db: &Db, seen: Option<&str>) -> Result<String> {
    let halt = crate::store::halt::accept(db, seen).await?;
    Ok(format!("accepted: {}", halt.what()))
}

async fn pause(db: &Db, by: Option<&str>) -> Result<String> {
    crate::store::halt::set_paused(db, by).await?;
    Ok(match by {
        Some(_) => "the stream is paused: the source keeps its log until it is resumed",
        None => "the stream goes on",
    }
    .to_owned())
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

impl Request {
    /// As what it is logged.
    #[must_use]
    pub fn operation(&self) -> Operation {
        match self {
            Self::Accept { .. } => Operation::Accept,
            Self::Pause => Operation::Pause,
            Self::Resume => Operation::Resume,
            Self::Rebuild => Operation::Rebuild,
            Self::Repair(_) => Operation::Repair,
            Self::Rollback { .. } => Operation::Rollback,
            Self::Rollout { .. } => Operation::Rollout,
            Self::Erase { .. } => Operation::Erase,
            Self::Backfill | Self::Reconcile => Operation::Backfill,
            _ => Operation::Decision,
        }
    }

    /// What the log counts of it: conflicts that are dismissed, units that are repaired, else the request itself.
    #[must_use]
    fn units(&self) -> u64 {
        match self {
            Self::Dismiss { conflicts } => conflicts.len() as u64,
            Self::Repair(what) => what.len() as u64,
            _ => 1,
        }
    }

    /// Whether anything is other than before once it is carried out.
    #[must_use]
    pub fn changes_something(&self) -> bool {
        !matches!(self, Self::Preview { .. })
    }

    /// What the log keeps of it: which kind, and nothing about whom (P14).
    fn logged(&self) -> serde_json::Value {
        let kind = serde_json::to_value(self).ok().and_then(|value| value.get("do").cloned());
        serde_json::json!({ "request": kind })
    }
}

/// After a rollback the running daemon goes on: everything is due to be read already.
async fn backfill_again(db: &Db) -> Result<String> {
    if crate::store::halt::rolled_back(db).await?.is_none() {
        return Err(Error::refused(
            "a tributary daemon works on this target",
            "stop it first; after a rollback it would read the feeds again when asked",
        ));
    }
    backup::resume_after(db, "backfill").await?;
    Ok("the daemon reads the feeds again".to_owned())
}

/// Everything is due to be read, and a backup before it: the running daemon begins another session with both.
async fn reconcile(applier: &Applier, tx: &Tx, actor: &str) -> Result<String> {
    let db = tx.db();
    // After a rollback one is scheduled, of which nothing is done.
    if crate::store::halt::rolled_back(db).await?.is_none()
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
async fn rollout(db: &Db, percent: u8, actor: &str) -> Result<String> {
    let percent = percent.min(100);
    let before = crate::store::outside::set(db, percent).await?;
    queue::ask_for_rebuild(db, actor).await?;
    Ok(format!("the rollout is at {percent} percent now, after {before}; everybody is recomputed"))
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

/// A conflict that closed by a decision was resolved by the person, not by the source.
async fn credit(tx: &Tx, conflict: i64, by: &By<'_>) -> Result<()> {
    let sql = "update tributary.conflict set resolved_by = $2, note = coalesce($3, note) \
               where id = $1 and status = 'resolved' and resolved_by = 'source' \
               and resolved_at = now()";
    tx.execute("target: closing a conflict", sql, &[&conflict, &by.actor, &by.note]).await?;
    Ok(())
}

/// Records a decision and returns its id.
async fn record(tx: &Tx, kind: &str, a: &str, b: &str, by: &By<'_>) -> Result<i64> {
    let sql = "insert into tributary.decision (kind, a, b, actor, note, conflict_id) \
               values ($1, $2, $3, $4, $5, $6) returning id";
    let rows = tx
        .query(
            "target: recording a decision",
            sql,
            &[&kind, &a, &b, &by.actor, &by.note, &by.conflict],
        )
        .await?;
    Ok(rows.first().map_or(0, |row| row.get(0)))
}

/// A decision as stored.
struct Decision {
    id: i64,
    kind: String,
    a: String,
    b: String,
    undo: Option<serde_json::Value>,
}

async fn revert(applier: &mut Applier, tx: &Tx, id: i64, by: &By<'_>) -> Result<(String, Effect)> {
    let sql =
        "select kind, a, b, undo, reverted_at is not null from tributary.decision where id = $1";
    let rows = tx.query("target: reading a decision", sql, &[&id]).await?;
    let Some(row) = rows.first() else {
        return Err(Error::refused(
            format!("there is no decision {id}"),
            "`tributary decisions list` shows them",
        ));
    };
    if row.get(4) {
        return Err(Error::refused(
            format!("decision {id} was reverted already"),
            "`tributary decisions list --all` shows when and by whom",
        ));
    }
    let (kind, a, b) = (row.get(0), row.get(1), row.get(2));
    let decision = Decision { id, kind, a, b, undo: row.get(3) };
    mark_reverted(tx, id, by).await?;
    let effect = match decision.kind.as_str() {
        "alias" => alias::unmerge(applier, tx, &decision).await?.into(),
        "separate" => alias::people_touched(&decision.a, &decision.b).into(),
        "dismiss" => rows::reopen(applier, tx, &decision).await?.into(),
        _ => rows::place_again(applier, tx, &decision.a).await?,
    };
    Ok((
        format!("reverted decision {id} ({} {} → {})", decision.kind, decision.a, decision.b),
        effect,
    ))
}

async fn mark_reverted(tx: &Tx, id: i64, by: &By<'_>) -> Result<()> {
    let sql = "update tributary.decision \
               set reverted_at = now(), reverted_by = $2, reverted_note = $3 where id = $1";
    tx.execute("target: reverting a decision", sql, &[&id, &by.actor, &by.note]).await?;
    Ok(())
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
