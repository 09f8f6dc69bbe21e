//! `/livez` fails only where the process hangs (P17).
//!
//! The main loop ticks when it comes round. While it waits for a long statement, such as the creation of a
//! slot behind a long transaction, an index on a large table or a row that the application has locked, it
//! cannot: then the servers are asked whether they work on a statement of this daemon. Where they do, it
//! waits honestly. Where neither does, or neither answers, it is the process or a dead connection that
//! hangs, and a restart helps.

use std::convert::Infallible;
use std::sync::Arc;
use std::time::Duration;

use crate::config::{Config, Server};
use crate::connect::connect;
use crate::error::{Context as _, Result};
use crate::http::Health;

/// How often the ticks are looked at.
const LOOK_INTERVAL: Duration = Duration::from_secs(5);

/// How long the servers may take to say what they do.
const PATIENCE: Duration = Duration::from_secs(10);

/// The name under which the sessions that work are known to the servers.
const WORKERS: &str = "tributary";

/// Watches until it is dropped. It belongs into the task of the main loop, so that a computation that never
/// ends stops it too.
pub async fn watch(config: &Config, health: &Arc<Health>) -> Infallible {
    loop {
        tokio::time::sleep(LOOK_INTERVAL.min(health.tick_bound() / 4)).await;
        look(config, health).await;
    }
}

/// Ticks for a main loop that was silent for half the time that `/livez` allows, where a server works.
pub async fn look(config: &Config, health: &Arc<Health>) {
    if health.silence() < health.tick_bound() / 2 {
        return;
    }
    for (server, name) in servers(config) {
        // One that waits for a lock of the application waits honestly too.
        let works = tokio::time::timeout(PATIENCE, works(server, name, "true")).await;
        if matches!(works, Ok(Ok(true))) {
            tracing::debug!(server = name, "a statement takes long");
            health.tick();
            return;
        }
    }
}

/// Whether a server has worked for two seconds on a statement of a daemon, which waits for no lock.
pub(super) async fn works_unblocked(config: &Config) -> bool {
    let is_working = "wait_event_type is distinct from 'Lock' \
                      and query_start < clock_timestamp() - interval '2 seconds'";
    for (server, name) in servers(config) {
        let works = tokio::time::timeout(PATIENCE, works(server, name, is_working)).await;
        if matches!(works, Ok(Ok(true))) {
            return true;
        }
    }
    false
}

fn servers(config: &Config) -> [(&Server, &'static str); 2] {
    [(&config.target.server, "target"), (&config.source.server, "source")]
}

/// Whether a server has a statement of this daemon in hand that is so.
async fn works(server: &Server, name: &'static str, is_so: &str) -> Result<bool> {
    let client = connect(server, "tributary watchdog", name).await?;
    let sql = format!(
        "select exists (select from pg_stat_activity where application_name = $1 \
         and state = 'active' and backend_type = 'client backend' \
         and usename = current_user and datname = current_database() and {is_so})"
    );
    let row = client.query_one(&sql, &[&WORKERS]).await;
    Ok(row.context("the watchdog")?.get(0))
}
