//! When the password of each role ends, looked at now and then; the certificate of each server is seen whenever a session opens.

use std::time::Duration;

use crate::config::{Config, Server};
use crate::connect::connect;
use crate::error::{Context as _, Result};
use crate::metrics;

/// How often. A session each.
const INTERVAL: Duration = Duration::from_secs(600);
/// After a server was away.
const AGAIN: Duration = Duration::from_secs(30);

/// Looks until it is dropped.
pub(super) async fn watch(config: Config) {
    let servers = [(&config.source.server, "source"), (&config.target.server, "target")];
    loop {
        let mut next = INTERVAL;
        for (server, name) in servers {
            match password_expiry(server, name).await {
                Ok(at) => metrics::set_password_expiry(name, at),
                Err(error) => {
                    tracing::debug!(%error, "when the password ends is not known");
                    next = AGAIN;
                }
            }
        }
        tokio::time::sleep(next).await;
    }
}

/// In Unix time.
async fn password_expiry(server: &Server, name: &'static str) -> Result<f64> {
    let client = connect(server, "tributary watchdog", name).await?;
    let sql = "select coalesce(extract(epoch from rolvaliduntil)::float8, 'infinity') \
               from pg_roles where rolname = current_user";
    let row = client.query_one(sql, &[]).await;
    Ok(row.context(&format!("{name}: reading the role"))?.get(0))
}
