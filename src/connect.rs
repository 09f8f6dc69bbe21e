//! Connections to both servers: encryption by `sslmode`, time limits, session settings.
//!
//! A user, password or URL is never part of a message; a server is named by what it is for, host and port.

mod certificates;
#[cfg(test)]
mod tests;

use std::net::IpAddr;
use std::sync::Arc;
use std::time::Duration;

use deadpool_postgres::{Manager, ManagerConfig, PoolError, RecyclingMethod};
use rustls::ClientConfig;
use tokio::sync::Notify;
use tokio_postgres::config::Host;
use tokio_postgres::error::SqlState;
use tokio_postgres::{AsyncMessage, NoTls, Socket, tls::MakeTlsConnect, tls::TlsConnect};
use tokio_postgres_rustls::MakeRustlsConnect;

use crate::config::{Config, Schema, Server, TlsMode};
use crate::error::{Error, Result, describe};
use crate::pg::Client;
use crate::pg::settings;

/// Longest time for one server to accept a connection, from name look-up to the end of authentication.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(5);

/// Longest time a query waits for a connection of a full pool: below the time in which probes give up.
const POOL_TIMEOUT: Duration = Duration::from_secs(5);

/// The servers whose certificates are reported.
const SERVERS: [&str; 2] = ["source", "target"];

/// Says so where what goes to or comes from another machine, passwords and rows of customers, is not encrypted.
pub fn warn_of_plaintext(config: &Config) {
    for (server, name) in [(&config.source.server, "source"), (&config.target.server, "target")] {
        if server.tls == TlsMode::Disable && is_remote(&server.postgres) {
            tracing::warn!(
                server = name,
                "the server is on another machine and is reached without TLS; set sslmode=verify-full"
            );
        }
    }
}

/// Whether any of its hosts is another machine, as far as the name shows.
fn is_remote(server: &tokio_postgres::Config) -> bool {
    let is_local = |host: &Host| match host {
        Host::Tcp(name) => {
            name == "localhost" || name.parse().is_ok_and(|ip: IpAddr| ip.is_loopback())
        }
        Host::Unix(_) => true,
    };
    // Addresses come before names.
    if server.get_hostaddrs().is_empty() {
        return !server.get_hosts().iter().all(is_local);
    }
    !server.get_hostaddrs().iter().all(IpAddr::is_loopback)
}

/// Connects, and spawns the task that drives the connection until the client is dropped. `what` names the
/// server in messages, such as `source`.
///
/// Values come as text in one format whatever the server, database or role has as its default; see
/// `pg::settings`. The encoding is UTF-8.
///
/// # Errors
///
/// [`Error::Unavailable`] where the server is away or does not answer in 5 s, [`Error::Config`] where
/// its certificates file cannot be used, [`Error::Refused`] where encryption fails for good.
pub async fn connect(
    server: &Server,
    application_name: &str,
    what: &'static str,
) -> Result<Client> {
    connect_listening(server, application_name, what, Arc::default()).await
}

/// As [`connect`]; `notified` is woken by every notification (`LISTEN`) that arrives on the session.
///
/// # Errors
///
/// As [`connect`].
pub async fn connect_listening(
    server: &Server,
    application_name: &str,
    what: &'static str,
    notified: Arc<Notify>,
) -> Result<Client> {
    let config = session_config(server, application_name);
    let client = match server.tls {
        TlsMode::Disable => {
            if let Some(name) = SERVERS.into_iter().find(|name| *name == what) {
                crate::metrics::set_certificate_expiry(name, f64::INFINITY);
            }
            open(&config, NoTls, what, notified).await?
        }
        _ => {
            let tls = MakeRustlsConnect::new(tls_config(server, what)?);
            open(&config, tls, what, notified).await?
        }
    };
    Ok(Client::new(client, server.schema.clone()))
}

async fn open<T>(
    config: &tokio_postgres::Config,
    tls: T,
    what: &'static str,
    notified: Arc<Notify>,
) -> Result<tokio_postgres::Client>
where
    T: MakeTlsConnect<Socket> + Send,
    T::Stream: Send + 'static,
    T::TlsConnect: Send,
    <T::TlsConnect as TlsConnect<Socket>>::Future: Send,
{
    let places = config.get_hosts().len().max(config.get_hostaddrs().len()).max(1);
    let limit = CONNECT_TIMEOUT * u32::try_from(places).unwrap_or(1);
    let context = || format!("{what}: connecting to {}", address(config));
    let opened = tokio::time::timeout(limit, config.connect(tls)).await;
    let opened = opened.map_err(|_| {
        Error::unavailable(context(), format!("no answer in {} s", limit.as_secs()))
    })?;
    let (client, mut connection) = opened.map_err(|error| {
        let refused = certificates::refusal(what, &error).or_else(|| pooler_refusal(what, &error));
        refused.unwrap_or_else(|| Error::postgres(context(), &error))
    })?;
    let limits = connection.parameter("server_version").is_some_and(settings::limits_transactions);
    tokio::spawn(async move {
        loop {
            match std::future::poll_fn(|context| connection.poll_message(context)).await {
                Some(Ok(AsyncMessage::Notification(_))) => notified.notify_one(),
                Some(Ok(_)) => {}
                Some(Err(error)) => {
                    let error = Error::postgres(format!("{what}: connection"), &error);
                    tracing::debug!(%error, "a connection ended");
                    return;
                }
                None => return,
            }
        }
    });
    if limits {
        let set = client.batch_execute(settings::NO_TRANSACTION_LIMIT).await;
        set.map_err(|error| Error::postgres(context(), &error))?;
    }
    Ok(client)
}

/// Where the servers of a configuration are, as they are named in it.
fn address(config: &tokio_postgres::Config) -> String {
    let names = config.get_hosts().iter().map(|host| match host {
        Host::Tcp(name) => name.clone(),
        Host::Unix(path) => path.display().to_string(),
    });
    let mut names: Vec<String> = names.collect();
    if names.is_empty() {
        names = config.get_hostaddrs().iter().map(ToString::to_string).collect();
    }
    let ports = config.get_ports();
    let port = |at: usize| *ports.get(at).or(ports.first()).unwrap_or(&5432);
    let places = names.iter().enumerate().map(|(at, name)| format!("{name}:{}", port(at)));
    places.collect::<Vec<_>>().join(", ")
}

/// PostgreSQL takes every start-up parameter that is sent here; a pooler need not.
fn pooler_refusal(what: &str, error: &tokio_postgres::Error) -> Option<Error> {
    (error.code() == Some(&SqlState::PROTOCOL_VIOLATION)).then(|| {
        Error::refused(
            format!("{what}: the start-up parameters are refused: a connection pooler, such as pgbouncer, stands before it"),
            format!(
                "name the server itself in the [{what}] section (host and port of PostgreSQL, not of the pooler)"
            ),
        )
    })
}

/// A pool of connections to one server.
#[derive(Clone)]
pub struct Pool {
    pool: deadpool_postgres::Pool,
    schema: Schema,
}

impl Pool {
    /// A session of the pool, for `what`.
    ///
    /// # Errors
    /// [`Error::Unavailable`]: the server is away, or all sessions are in use.
    pub async fn get(&self, what: &str) -> Result<Client> {
        let session = self.pool.get().await.map_err(|error| match error {
            // The pool's own words leave the cause out.
            PoolError::Backend(error) => Error::unavailable(what, describe(&error)),
            error => Error::unavailable(what, error),
        });
        Ok(Client::pooled(session?, self.schema.clone()))
    }

    /// How many connections it has, and how many are asked for.
    #[must_use]
    pub fn status(&self) -> deadpool_postgres::Status {
        self.pool.status()
    }
}

/// A pool of connections for short read-only queries of commands and endpoints. It connects when first
/// used.
///
/// # Errors
///
/// [`Error::Config`] where the certificates file cannot be used.
pub fn pool(server: &Server, application_name: &str, size: usize) -> Result<Pool> {
    let mut config = session_config(server, application_name);
    let options =
        format!("{} -c default_transaction_read_only=on", config.get_options().unwrap_or_default());
    config.options(options);
    let manager = ManagerConfig { recycling_method: RecyclingMethod::Fast };
    let manager = match server.tls {
        TlsMode::Disable => Manager::from_config(config, NoTls, manager),
        _ => {
            let tls = MakeRustlsConnect::new(tls_config(server, application_name)?);
            Manager::from_config(config, tls, manager)
        }
    };
    let pool = deadpool_postgres::Pool::builder(manager)
        .max_size(size)
        .runtime(deadpool_postgres::Runtime::Tokio1)
        .wait_timeout(Some(POOL_TIMEOUT))
        .create_timeout(Some(CONNECT_TIMEOUT))
        .recycle_timeout(Some(POOL_TIMEOUT))
        .build()
        .map_err(|error| Error::failed("making a connection pool", error))?;
    Ok(Pool { pool, schema: server.schema.clone() })
}

/// The server's configuration with a name, a time limit and the pinned settings. Of two settings of one
/// name the last holds, so the pinned ones come last.
fn session_config(server: &Server, application_name: &str) -> tokio_postgres::Config {
    let mut config = server.postgres.clone();
    let pinned = settings::startup_options();
    let options = match config.get_options() {
        Some(own) => format!("{own} {pinned}"),
        None => pinned,
    };
    config.options(options).application_name(application_name);
    if config.get_connect_timeout().is_none() {
        config.connect_timeout(CONNECT_TIMEOUT);
    }
    config
}

fn tls_config(server: &Server, what: &str) -> Result<ClientConfig> {
    let seen = SERVERS.into_iter().find(|name| *name == what);
    certificates::client_config(server, seen)
        .map_err(|problem| Error::Config(format!("{what}: {problem}")))
}
