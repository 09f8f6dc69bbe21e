//! Asks the one writer of a target for something (SPEC §7), whether a daemon runs or not.
//!
//! A request is a row of `tributary.command`. The daemon that holds the writer's lock carries it out between
//! two source transactions and answers in the row. Where nobody holds the lock, the asking process becomes
//! the writer for this one request, with the same code. So a decision is never made by a second writer, and
//! never lost: what is not answered in time stays queued.

use std::time::Duration;

use serde::Serialize;
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

use crate::config::{Config, Server};
use crate::connect::connect;
use crate::daemon::{self, Show};
use crate::decisions::preview::Preview;
use crate::decisions::{self, Command, Request};
use crate::error::{Context as _, Error, Result};
use crate::migrate;
use crate::pg::{Client, Db};
use crate::session::{self, OnLock, Watcher};
use crate::store::backfill::Progress;
use crate::store::halt;
use crate::store::operation_log::{Operator, os_user};

/// How soon the answer is looked for, and each time twice as long after that, up to
const FIRST_POLL: Duration = Duration::from_millis(10);
/// this.
const POLL: Duration = Duration::from_millis(200);
/// How long a daemon that works on something else is waited for: longer than any batch takes, and short
/// enough for a person who waits.
const PATIENCE: Duration = Duration::from_secs(60);
/// How often the lock is looked at while waiting: a daemon that ended leaves the request to this process.
const LOCK_POLL: Duration = Duration::from_secs(2);

/// What became of a request.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Answer {
    /// Carried out; otherwise refused, and nothing has changed.
    pub done: bool,
    /// What was done, or the reason and the remedy. It may name customers: it is for standard output, never
    /// for a log (P14).
    pub text: String,
}

/// How long an answer is waited for.
#[derive(Clone, Copy)]
pub enum Patience<'a> {
    /// For 60 seconds, as a decision takes.
    Minute,
    /// Until it is there, with the state of the backfill shown meanwhile, as a rebuild takes.
    Progress(Show<'a>),
}

impl Patience<'_> {
    fn show(&self, at: &Progress) {
        if let Self::Progress(show) = self {
            show(at);
        }
    }
}

/// Opens a session on a target that has been migrated, for reading.
///
/// # Errors
/// Those of the target; a refusal where it has no schema `tributary`.
pub async fn open_target(config: &Config) -> Result<Db> {
    open_server(&config.target.server).await
}

/// As [`open_target`], for commands that need all of the schema of this version.
///
/// # Errors
/// As [`open_target`]; a refusal of a schema that an older version has migrated.
pub async fn open_migrated(config: &Config) -> Result<Db> {
    let db = open_target(config).await?;
    migrate::refuse_older(db.client()).await?;
    Ok(db)
}

/// As [`open_target`], for commands that need no source.
///
/// # Errors
/// As [`open_target`].
pub async fn open_server(server: &Server) -> Result<Db> {
    let (client, is_there) = look(server).await?;
    if is_there {
        return Ok(Db::new(client));
    }
    Err(Error::refused(
        format!("the target has no schema {}", server.schema.name()),
        "run `tributary migrate`, or start the daemon with `tributary run`",
    ))
}

/// A session on a target, and whether the daemon's schema is there.
///
/// # Errors
/// Those of the target.
pub(crate) async fn look(server: &Server) -> Result<(Client, bool)> {
    let opened = crate::retry::within(crate::retry::COMMAND_PATIENCE, || {
        connect(server, "tributary", "target")
    });
    let client = opened.await?;
    let sql = "select to_regclass('tributary.command') is not null";
    let there = client.query_one(sql, &[]).await.context("target: looking for schema tributary")?;
    let is_there = there.get(0);
    Ok((client, is_there))
}

/// Who asks: the name given, else the login name, else the role on the target.
///
/// # Errors
/// Those of the target.
pub async fn actor(db: &Db, by: Option<&str>) -> Result<String> {
    let given = by.map(str::to_owned).or_else(os_user).filter(|name| !name.trim().is_empty());
    if let Some(name) = given {
        return Ok(name.trim().to_owned());
    }
    let rows = db.query("target: asking for the role", "select current_user::text", &[]).await?;
    Ok(rows.first().map_or_else(String::new, |row| row.get(0)))
}

/// Has a command carried out, by the daemon or, where none runs, here.
///
/// # Errors
/// Those of the servers; a refusal when no answer came in time, with the request still queued.
pub async fn ask(
    config: &Config,
    db: &Db,
    command: &Command,
    actor: &str,
    patience: Patience<'_>,
) -> Result<Answer> {
    if let Err(error) = refuse_after_rollback(db, command).await {
        return answer_to(Err(error));
    }
    if !session::is_locked(db).await?
        && let Some(answer) = alone(config, db, command, actor, patience).await?
    {
        return Ok(answer);
    }
    let id = queue(db, command, actor).await?;
    let start = Instant::now();
    let (mut looked, mut poll) = (start, FIRST_POLL);
    loop {
        if let Some(answer) = poll_answer(db, id, command, &mut poll).await? {
            return Ok(answer);
        }
        if looked.elapsed() >= LOCK_POLL {
            looked = Instant::now();
            if let Patience::Progress(show) = patience {
                show_people(db, show).await?;
            }
            if !session::is_locked(db).await? && withdraw(db, id).await? {
                if let Some(answer) = alone(config, db, command, actor, patience).await? {
                    return Ok(answer);
                }
                return Err(Error::unavailable(
                    "target: asking the daemon",
                    "daemons change places; the request was withdrawn, ask again",
                ));
            }
        }
        if matches!(patience, Patience::Minute) && start.elapsed() >= PATIENCE {
            // Nobody looks at the answer, which may name people.
            let is_preview = !command.request.changes_something();
            if is_preview && withdraw(db, id).await? {
                return Err(Error::refused(
                    format!("the daemon has not answered in {} s", PATIENCE.as_secs()),
                    "the request was withdrawn; ask again when the daemon is free: `tributary status` shows what it does",
                ));
            }
            return Err(Error::refused(
                format!("the daemon has not answered request {id} in {} s", PATIENCE.as_secs()),
                "it stays queued and is carried out when the daemon is free; `tributary status` shows \
                 what it does, `tributary decisions list` the outcome",
            ));
        }
    }
}

/// What became of a request to the daemon within the time that somebody waits.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Asked {
    /// It was refused before it was queued, for this reason.
    Refused(String),
    /// It was queued under this number; without an answer it is still to be carried out.
    Queued {
        /// Its number in `tributary.command`.
        command: i64,
        /// What the daemon answered.
        answer: Option<Answer>,
    },
}

/// Queues a command for the daemon and waits for its answer. It is never carried out here.
///
/// # Errors
/// Those of the target.
pub async fn queue_for_daemon(
    db: &Db,
    command: &Command,
    actor: &str,
    patience: Duration,
) -> Result<Asked> {
    let mut allowed = refuse_after_rollback(db, command).await;
    if allowed.is_ok() && matches!(command.request, Request::Accept { .. }) {
        allowed = halt::pending(db).await.map(drop);
    }
    match allowed {
        Ok(()) => {}
        Err(error @ Error::Refused { .. }) => return Ok(Asked::Refused(error.to_string())),
        Err(error) => return Err(error),
    }
    let id = queue(db, command, actor).await?;
    let (start, mut poll) = (Instant::now(), FIRST_POLL);
    while start.elapsed() < patience {
        if let Some(answer) = poll_answer(db, id, command, &mut poll).await? {
            return Ok(Asked::Queued { command: id, answer: Some(answer) });
        }
    }
    // Nobody waits for a preview that comes too late.
    if !command.request.changes_something() && withdraw(db, id).await? {
        let busy = Error::refused(
            "the daemon is busy, and has not computed what this would change",
            "try again when it is free",
        );
        return Ok(Asked::Refused(busy.to_string()));
    }
    Ok(Asked::Queued { command: id, answer: None })
}

/// Refuses what needs rows that are up to date while the target is rolled back.
async fn refuse_after_rollback(db: &Db, command: &Command) -> Result<()> {
    if decisions::may_follow_a_rollback(&command.request) {
        return Ok(());
    }
    halt::refuse_rolled_back(db).await
}

/// Looks once for the answer, after a pause that grows.
async fn poll_answer(
    db: &Db,
    id: i64,
    command: &Command,
    pause: &mut Duration,
) -> Result<Option<Answer>> {
    tokio::time::sleep(*pause).await;
    *pause = POLL.min(*pause * 2);
    let answer = answer(db, id).await?;
    if answer.is_some() {
        forget_preview(db, id, command).await?;
    }
    Ok(answer)
}

/// Shows how many of the people a rebuild has passed.
async fn show_people(db: &Db, show: Show<'_>) -> Result<()> {
    let Some(mut at) = crate::store::backfill::progress(db).await? else { return Ok(()) };
    if at.stage == crate::status::Stage::People {
        let sql = "select count(*) filter (where p.email_key <= b.next_owner), count(*) \
                   from tributary.person p, tributary.backfill b";
        let rows = db.query("target: counting people", sql, &[]).await?;
        if let Some(row) = rows.first() {
            (at.rows_done, at.rows_estimated) = (row.get(0), row.get(1));
        }
    }
    show(&at);
    Ok(())
}

/// Leaves a request to whoever serves it; its number.
///
/// # Errors
/// Those of the target.
pub(crate) async fn queue(db: &Db, request: &impl Serialize, actor: &str) -> Result<i64> {
    let request =
        serde_json::to_value(request).map_err(|error| Error::failed("writing a request", error))?;
    // The notification is sent at the commit, when the row is there.
    let sql = "with asked as (insert into tributary.command (request, actor, os_user) \
                   values ($1, $2, $3) returning id) \
               select id, pg_notify($4, '')::text from asked";
    let channel = db.client().schema().channel();
    let params: [crate::pg::Param<'_>; 4] = [&request, &actor, &os_user(), &channel];
    let rows = db.query("target: asking the daemon", sql, &params).await?;
    rows.first().map(|row| row.get(0)).ok_or_else(|| Error::failed("target: asking", "no id"))
}

/// The answer to a request, where it is there already.
///
/// # Errors
/// Those of the target; a refusal where the request was withdrawn, and so is never answered.
pub(crate) async fn answer(db: &Db, id: i64) -> Result<Option<Answer>> {
    let sql =
        "select finished_at is not null, ok, answer #>> '{}' from tributary.command where id = $1";
    let rows = db.query("target: waiting for the answer", sql, &[&id]).await?;
    let Some(row) = rows.first() else {
        return Err(Error::refused("the request was withdrawn", "ask again"));
    };
    let answer = Answer {
        done: row.get::<_, Option<bool>>(1).unwrap_or(false),
        text: row.get::<_, Option<String>>(2).unwrap_or_default(),
    };
    Ok(row.get::<_, bool>(0).then_some(answer))
}

/// What these decisions would change, one after another, as the writer of the target finds it out: it carries them out
/// and takes everything back (SPEC §7). `Err` within is the refusal of a single decision.
///
/// # Errors
/// As [`ask`].
pub async fn preview(
    config: &Config,
    db: &Db,
    of: Vec<Command>,
    actor: &str,
) -> Result<std::result::Result<Preview, String>> {
    let command = Command::of(Request::Preview { of });
    let answer = ask(config, db, &command, actor, Patience::Minute).await?;
    if answer.done { Preview::parse(&answer.text).map(Ok) } else { Ok(Err(answer.text)) }
}

/// The answer to a preview names people, and is of use once.
async fn forget_preview(db: &Db, id: i64, command: &Command) -> Result<()> {
    if !command.request.changes_something() {
        let sql = "delete from tributary.command where id = $1 and finished_at is not null";
        db.execute("target: forgetting a preview", sql, &[&id]).await?;
    }
    Ok(())
}

/// Takes a request back that nobody has answered; `false`: somebody did.
async fn withdraw(db: &Db, id: i64) -> Result<bool> {
    let sql = "delete from tributary.command where id = $1 and finished_at is null";
    Ok(db.execute("target: withdrawing a request", sql, &[&id]).await? > 0)
}

/// Carries a command out as the writer, after what is queued. `None`: a daemon took the lock first.
async fn alone(
    config: &Config,
    db: &Db,
    command: &Command,
    actor: &str,
    patience: Patience<'_>,
) -> Result<Option<Answer>> {
    // Opening a session makes a missing slot: never for a target that the daemon has not begun to fill.
    let is_filled = session::checkpoint(db.client(), &config.source.slot).await?.is_some();
    let is_before = !is_filled && matches!(command.request, Request::Rollout { .. });
    if is_before || decisions::needs_target_alone(&command.request) {
        let Some(client) = session::lock_target(config).await? else { return Ok(None) };
        let (db, operator) = (Db::new(client), Operator::of(config));
        let done = decisions::execute_on_target(config, &db, &operator, command, actor).await;
        return answer_to(done).map(Some);
    }
    if !is_filled {
        return Err(Error::refused(
            "this target has not been filled yet, so there is nothing to decide about",
            "start the daemon: `tributary run`",
        ));
    }
    let never = CancellationToken::new();
    let opened = session::open(config, OnLock::Refuse, &never, &Watcher::NOBODY).await;
    let mut session = match opened {
        Ok(Some(session)) => session,
        Ok(None) => return Ok(None),
        // Somebody was faster; whoever it was carries the request out.
        Err(Error::Refused { .. }) if locked(config).await? => return Ok(None),
        Err(error) => return Err(error),
    };
    session.applier.scan_profiles(&|| {}).await?;
    let show = |at: &Progress| patience.show(at);
    let id = queue(&session.applier.db, command, actor).await?;
    let served = daemon::serve_commands(config, &mut session, &show).await;
    if let Err(error) = served {
        crate::pg::Tx::on(&session.applier.db).rollback().await?;
        withdraw(&session.applier.db, id).await?;
        return Err(error);
    }
    let answered = answer(&session.applier.db, id).await?;
    forget_preview(&session.applier.db, id, command).await?;
    match answered {
        Some(answer) => Ok(Some(answer)),
        None if crate::store::backfill::rules_wait(&session.applier.db).await? => {
            withdraw(&session.applier.db, id).await?;
            Err(Error::refused(
                "the configuration was changed, and nobody has brought its rules in yet",
                "start the daemon with it (`tributary run`), or set the configuration back; then decide",
            ))
        }
        None if crate::store::email_before::is_kept(&session.applier.db).await? => {
            withdraw(&session.applier.db, id).await?;
            Err(Error::refused(
                "a reconcile was interrupted before it judged the addresses that it found changed",
                "start the daemon (`tributary run`), or run `tributary backfill`; then repeat this",
            ))
        }
        None => Err(Error::failed("carrying out a request", "it was not answered")),
    }
}

async fn locked(config: &Config) -> Result<bool> {
    session::is_locked(&open_target(config).await?).await
}

/// What the daemon would have answered.
fn answer_to(done: Result<String>) -> Result<Answer> {
    match done {
        Ok(text) => Ok(Answer { done: true, text }),
        Err(error @ Error::Refused { .. }) => Ok(Answer { done: false, text: error.to_string() }),
        Err(error) => Err(error),
    }
}
