//! The session beside the writer's: it is notified that operators ask for something, and reads how far the
//! target's log is written and flushed. It writes nothing.

use std::sync::Arc;
use std::time::Duration;

use tokio::sync::Notify;
use tokio_postgres::Statement;

use crate::config::{Config, quote_identifier};
use crate::connect::connect_listening;
use crate::error::{Context as _, Error, Result};
use crate::lsn::Lsn;
use crate::pg::{Client, Db};

/// How often commands are looked for where no notification came, as when the session that listens broke.
pub(super) const COMMAND_POLL: Duration = Duration::from_secs(5);

/// Tells one run of a server from any other.
const SERVER: &str = "select pg_postmaster_start_time()::text";

const POSITIONS: &str =
    "select pg_current_wal_insert_lsn()::text, pg_current_wal_flush_lsn()::text";

/// A second session on the writer's server.
pub(super) struct Control {
    client: Client,
    positions: Statement,
    notified: Arc<Notify>,
}

/// How far a server's log is.
pub(super) struct Positions {
    /// Everything committed before it was asked lies before this.
    pub(super) inserted: Lsn,
    /// Everything before this is on disk.
    pub(super) flushed: Lsn,
}

impl Control {
    /// Opens the session.
    ///
    /// # Errors
    /// Those of the target; [`Error::Unavailable`] where another server answers, as in a fail-over: its log
    /// says nothing about the writer's commits.
    pub(super) async fn open(config: &Config, writer: &Db) -> Result<Self> {
        let what = "target: opening the control session";
        let notified = Arc::new(Notify::new());
        let heard = Arc::clone(&notified);
        let server = &config.target.server;
        let client = connect_listening(server, "tributary control", "target", heard).await?;
        let channel = quote_identifier(&config.target.schema.channel());
        client.batch_execute(&format!("listen {channel}")).await.context(what)?;
        let here: String = client.query_one(SERVER, &[]).await.context(what)?.get(0);
        let there = writer.query(what, SERVER, &[]).await?;
        if there.first().map(|row| row.get::<_, String>(0)).as_ref() != Some(&here) {
            return Err(Error::unavailable(what, "two servers answer for the target"));
        }
        let positions = client.prepare(POSITIONS).await.context(what)?;
        Ok(Self { client, positions, notified })
    }

    /// Waits until a command was asked for. Cancellation-safe.
    pub(super) async fn notified(&self) {
        self.notified.notified().await;
    }

    /// How far the target's log is.
    ///
    /// # Errors
    /// Those of the target.
    pub(super) async fn positions(&self) -> Result<Positions> {
        let what = "target: reading the log position";
        let row = self.client.query_one(&self.positions, &[]).await.context(what)?;
        let position = |text: &str| Lsn::parse(text).ok_or_else(|| Error::failed(what, text));
        Ok(Positions { inserted: position(row.get(0))?, flushed: position(row.get(1))? })
    }
}
