//! What the SQL entry points and the operators' page ask for (SPEC §9): long work beside the stream, on a thread and sessions of its own.
//!
//! `call tributary.populate_clean_data(…)` and the other procedures of the daemon's schema insert a row into
//! `tributary.command` whose request has the key `job`, and wait for its answer, a JSON object. The daemon that leads takes one
//! at a time; another one meanwhile is refused. What writes is handed on to the one writer as any other command
//! ([`crate::decisions::queue`]), once: a job itself reads, waits and reports. So a daemon that dies loses nothing and doubles
//! nothing: the next one begins the job again, and finds what was asked for and done.

mod handed;
mod queue;
mod summary;
mod work;

use std::sync::{Arc, Mutex};
use std::time::Duration;

use serde::{Deserialize, Serialize};
use serde_json::json;
use tokio::sync::Notify;

use self::queue::{Queue, Waiting};
use crate::ask;
use crate::config::Config;
use crate::error::{Error, Result};
use crate::http::Health;
use crate::pg::Db;
use crate::thread::Thread;

/// How often it is looked whether this daemon leads, whether something was asked for, and how far it is.
const LOOK: Duration = Duration::from_secs(1);
/// How long after an error the queue is opened again.
const RETRY: Duration = Duration::from_secs(3);
/// How often a job is begun that its daemon did not survive, or whose servers went away.
const ATTEMPTS: i64 = 3;

/// What is asked for.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "do", rename_all = "snake_case", deny_unknown_fields)]
pub(crate) enum Job {
    /// A backfill with a backup before it, or its dry run.
    PopulateCleanData { dry_run: bool },
    /// Waits for the stream, or says how far behind it is.
    SyncNewData { dry_run: bool },
    /// A verification, with a repair where it is no dry run.
    Verify { dry_run: bool },
    /// A dry run against limits, then a backfill with a backup before it, then the validation, and back where that fails.
    Cutover { limits: Vec<String> },
    /// A rollback to a backup, or what it would do.
    RollbackRun { run: String, dry_run: bool, discard_application_changes: bool },
}

/// How far a job is, in words.
type At = Mutex<Option<String>>;

/// Asks for a job; its number.
///
/// # Errors
/// Those of the target.
pub(crate) async fn request(db: &Db, job: &Job, actor: &str) -> Result<i64> {
    ask::queue(db, &json!({ "job": job }), actor).await
}

/// Begins to serve, whenever this daemon leads.
///
/// # Errors
/// Where the system gives no thread.
pub fn start(config: &Config, health: &Arc<Health>) -> Result<Thread> {
    let served = Served { config: config.clone(), health: Arc::clone(health) };
    Thread::start("jobs", move || served.run())
}

struct Served {
    config: Config,
    /// Whether this daemon leads: a standby serves nothing.
    health: Arc<Health>,
}

impl Served {
    async fn run(self) {
        loop {
            if self.health.leads()
                && let Err(error) = self.lead().await
            {
                tracing::warn!(%error, "requests by SQL are served again in a moment");
                tokio::time::sleep(RETRY).await;
            }
            tokio::time::sleep(LOOK).await;
        }
    }

    /// Serves while this daemon leads.
    async fn lead(&self) -> Result<()> {
        let notified = Arc::new(Notify::new());
        let queue = Queue::open(&self.config, Arc::clone(&notified)).await?;
        let epoch = queue.epoch().await?;
        if !self.health.leads() {
            return Ok(());
        }
        queue.serve(&self.config, epoch).await?;
        while self.health.leads() {
            match queue.next().await? {
                Some(job) => self.carry_out(&queue, &job).await?,
                None => {
                    let _ = tokio::time::timeout(LOOK, notified.notified()).await;
                }
            }
        }
        Ok(())
    }

    async fn carry_out(&self, queue: &Queue, waiting: &Waiting) -> Result<()> {
        let attempt = queue.begin(waiting.id).await?;
        tracing::info!(command = waiting.id, attempt, "began a request by SQL");
        let done = match &waiting.job {
            Ok(_) if attempt > ATTEMPTS => Err(Error::refused(
                "each attempt at it was interrupted",
                "the daemon's log says why",
            )),
            Ok(job) => self.watched(queue, waiting, job).await?,
            Err(problem) => {
                Err(Error::refused(problem.clone(), "use the procedures of this version"))
            }
        };
        let epoch = queue.epoch().await?;
        // Whoever leads now carries it out.
        if !self.health.leads() {
            return Ok(());
        }
        match done {
            Ok(summary) => queue.answer(epoch, waiting.id, true, summary).await?,
            Err(error) if error.answers_commands() || attempt >= ATTEMPTS => {
                queue.answer(epoch, waiting.id, false, error.to_string().into()).await?;
            }
            Err(error) => return Err(error),
        }
        tracing::info!(command = waiting.id, "answered a request by SQL");
        Ok(())
    }

    /// Does the work, refuses others meanwhile, and notes how far it is. `Err` within is the end of the work.
    async fn watched(
        &self,
        queue: &Queue,
        waiting: &Waiting,
        job: &Job,
    ) -> Result<Result<serde_json::Value>> {
        let at = At::default();
        let work = work::Work { config: &self.config, waiting, at: &at };
        let work = work.run(job);
        tokio::pin!(work);
        loop {
            tokio::select! {
                done = &mut work => return Ok(done),
                () = tokio::time::sleep(LOOK) => {
                    queue.refuse_others(waiting).await?;
                    let at = at.lock().ok().and_then(|at| at.clone());
                    queue.note(waiting.id, at).await?;
                }
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_job_is_what_the_procedures_write() {
        let check = |text: &str, expected: Option<Job>| {
            assert_eq!(serde_json::from_str(text).ok(), expected, "{text}");
        };
        check(
            r#"{"do": "populate_clean_data", "dry_run": true}"#,
            Some(Job::PopulateCleanData { dry_run: true }),
        );
        check(r#"{"do": "verify", "dry_run": false}"#, Some(Job::Verify { dry_run: false }));
        check(
            r#"{"do": "rollback_run", "run": "r", "dry_run": true, "discard_application_changes": false}"#,
            Some(Job::RollbackRun {
                run: "r".into(),
                dry_run: true,
                discard_application_changes: false,
            }),
        );
        check(r#"{"do": "verify"}"#, None);
        check(r#"{"do": "drop", "dry_run": true}"#, None);
    }
}
