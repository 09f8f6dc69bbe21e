//! Which committed positions are on the target's disk, and so may be confirmed to the source (P7).
//!
//! The target commits with `synchronous_commit = off`. A second session on it reads, in one statement, how
//! far the log was written and how far it was flushed: what was committed before the statement began lies
//! before the first position, and is durable once the second has passed it. So no batch waits for the
//! answer, and none costs a round trip of its own.
//! See <https://www.postgresql.org/docs/current/wal-async-commit.html>.

use std::time::Duration;

use tokio::sync::watch;
use tokio::task::JoinHandle;
use tokio_postgres::Client;

use super::receive::Confirm;
use crate::config::Config;
use crate::connect::connect;
use crate::error::{Context as _, Error, Result};
use crate::lsn::Lsn;
use crate::pg::Db;

/// Pause between two looks at the target's log while something is not flushed. The WAL writer flushes
/// every 200 ms by default, and the source is reported to once a second at most.
const FLUSH_POLL: Duration = Duration::from_millis(50);

/// Tells one run of a server from any other.
const SERVER: &str = "select pg_postmaster_start_time()::text";

const POSITIONS: &str =
    "select pg_current_wal_insert_lsn()::text, pg_current_wal_flush_lsn()::text";

/// The task that watches the target's log.
pub(super) struct Durability {
    committed: watch::Sender<Lsn>,
    task: JoinHandle<Result<()>>,
}

impl Durability {
    /// Opens the session, on the server that the writer's session is on, and starts the task.
    ///
    /// # Errors
    /// Those of the target; [`Error::Unavailable`] where another server answers, as in a fail-over: its log
    /// says nothing about the writer's commits.
    pub(super) async fn start(config: &Config, writer: &Db, confirm: Confirm) -> Result<Self> {
        let what = "target: watching the log";
        let client = connect(&config.target.server, "tributary", "target").await?;
        let here: String = client.query_one(SERVER, &[]).await.context(what)?.get(0);
        let there = writer.query(what, SERVER, &[]).await?;
        if there.first().map(|row| row.get::<_, String>(0)).as_ref() != Some(&here) {
            return Err(Error::unavailable(what, "two servers answer for the target"));
        }
        let (committed, news) = watch::channel(Lsn(0));
        let task = tokio::spawn(run(client, news, confirm));
        Ok(Self { committed, task })
    }

    /// Everything before `lsn` of the source is committed in the target.
    pub(super) fn committed(&self, lsn: Lsn) {
        self.committed.send_replace(lsn);
    }

    /// Waits until the task fails. Cancellation-safe.
    pub(super) async fn failed(&mut self) -> Error {
        match (&mut self.task).await {
            Ok(Err(error)) => error,
            Ok(Ok(())) => Error::unavailable("target: watching the log", "it has ended"),
            Err(error) => Error::failed("target: watching the log", error),
        }
    }
}

impl Drop for Durability {
    fn drop(&mut self) {
        self.task.abort();
    }
}

async fn run(client: Client, mut committed: watch::Receiver<Lsn>, confirm: Confirm) -> Result<()> {
    let what = "target: reading the log position";
    let statement = client.prepare(POSITIONS).await.context(what)?;
    while committed.changed().await.is_ok() {
        let lsn = *committed.borrow_and_update();
        let mut written = None;
        loop {
            let row = client.query_one(&statement, &[]).await.context(what)?;
            let (inserted, flushed) = (position(row.get(0))?, position(row.get(1))?);
            if *written.get_or_insert(inserted) <= flushed {
                break;
            }
            tokio::time::sleep(FLUSH_POLL).await;
        }
        confirm.up_to(lsn);
        tokio::time::sleep(FLUSH_POLL).await;
    }
    Ok(())
}

fn position(text: &str) -> Result<Lsn> {
    Lsn::parse(text).ok_or_else(|| Error::failed("target: reading the log position", text))
}
