//! What the pages share.

use std::convert::Infallible;
use std::net::SocketAddr;
use std::sync::{Arc, PoisonError, RwLock};
use std::time::Duration;

use axum::http::Uri;

use super::auth::{Attempts, Sessions, Who};
use super::history::{self, History, Sample};
use super::kept::Kept;
use super::review::Searches;
use crate::ask::{self, Asked};
use crate::config::{AdminPage, Config};
use crate::connect::{Pool, connect, pool};
use crate::decisions::preview::Preview;
use crate::decisions::{Command, Request};
use crate::error::{Error, Result};
use crate::http::Health;
use crate::jobs::{self, Job};
use crate::pg::{Client, Db};

/// Sessions on the target that read for the pages.
const READERS: usize = 4;
/// How long a page waits for the answer of the daemon.
pub(super) const ANSWERED: Duration = Duration::from_secs(10);

/// The operators' page.
pub struct Admin {
    /// The state of the daemon.
    pub health: Arc<Health>,
    /// Where the daemon listens.
    listen: SocketAddr,
    current: RwLock<Arc<Current>>,
    pub(super) history: History,
    /// Counts that are not made for each page.
    pub(super) kept: Kept,
    pub(super) sessions: Sessions,
    pub(super) attempts: Attempts,
    /// What was searched for.
    pub(super) searches: Searches,
}

/// What a reload replaces.
pub struct Current {
    /// The configuration in force.
    pub config: Config,
    pool: Pool,
    /// Values of `Host` that are served.
    pub(super) hosts: Vec<String>,
}

impl Admin {
    /// Connects when first asked. `listen` is where the daemon listens.
    ///
    /// # Errors
    /// [`Error::Config`] where the certificates file cannot be used.
    pub fn new(config: &Config, health: Arc<Health>, listen: SocketAddr) -> Result<Self> {
        Ok(Self {
            health,
            listen,
            current: RwLock::new(Arc::new(Current::of(config, listen)?)),
            history: History::default(),
            kept: Kept::default(),
            sessions: Sessions::default(),
            attempts: Attempts::default(),
            searches: Searches::default(),
        })
    }

    /// Takes another configuration. Sessions of tokens that are no more end with it.
    ///
    /// # Errors
    /// As [`Admin::new`].
    pub fn reconfigure(&self, config: &Config) -> Result<()> {
        let current = Arc::new(Current::of(config, self.listen)?);
        *self.current.write().unwrap_or_else(PoisonError::into_inner) = current;
        Ok(())
    }

    /// What is in force.
    #[must_use]
    pub fn current(&self) -> Arc<Current> {
        Arc::clone(&self.current.read().unwrap_or_else(PoisonError::into_inner))
    }

    /// A read-only session on the target.
    ///
    /// # Errors
    /// Where the target is away or all sessions are in use.
    pub async fn read(&self) -> Result<Client> {
        self.current().pool.get("target: reading for the page").await
    }

    /// Has the daemon carry a command out, in the name of the token's holder. Never does it here: what is not answered in
    /// time stays queued, and `/admin/requests` shows its outcome.
    ///
    /// # Errors
    /// As [`ask::queue_for_daemon`].
    pub async fn ask(&self, command: Command, who: &Who, patience: Duration) -> Result<Asked> {
        let (current, runtime) = (self.current(), tokio::runtime::Handle::current());
        let who = who.name.clone();
        // On a thread of its own: the compiler cannot show that its future may change threads.
        let asked = tokio::task::spawn_blocking(move || {
            runtime.block_on(async {
                let db = ask::open_target(&current.config).await?;
                ask::queue_for_daemon(&db, &command, &who, patience).await
            })
        });
        asked.await.map_err(|error| Error::failed("asking the daemon", error))?
    }

    /// Has the daemon do long work beside the stream, in the name of the token's holder; the number of the request.
    ///
    /// # Errors
    /// Those of the target.
    pub(super) async fn begin(&self, job: &Job, who: &Who) -> Result<i64> {
        // The sessions that read for the pages write nothing.
        let server = &self.current().config.target.server;
        let db = Db::new(connect(server, "tributary admin", "target").await?);
        jobs::request(&db, job, &who.name).await
    }

    /// What some decisions would change, as the daemon computes it; `Err` within: why it cannot be said.
    ///
    /// # Errors
    /// As [`Admin::ask`].
    pub async fn preview(
        &self,
        of: Vec<Command>,
        who: &Who,
    ) -> Result<std::result::Result<Preview, String>> {
        let command = Command::of(Request::Preview { of });
        match self.ask(command, who, ANSWERED).await? {
            Asked::Refused(reason) => Ok(Err(reason)),
            Asked::Queued { answer: Some(answer), .. } if answer.done => {
                Preview::parse(&answer.text).map(Ok)
            }
            Asked::Queued { answer: Some(answer), .. } => Ok(Err(answer.text)),
            Asked::Queued { answer: None, .. } => {
                Ok(Err("The daemon is computing this still: ask again in a moment.".to_owned()))
            }
        }
    }

    /// Samples the state for the charts, for ever.
    pub async fn sample(self: Arc<Self>) -> Infallible {
        let mut beat = tokio::time::interval(history::EVERY);
        loop {
            beat.tick().await;
            self.history.add(Sample::of(&self.health));
        }
    }
}

impl Current {
    fn of(config: &Config, listen: SocketAddr) -> Result<Self> {
        let pool = pool(&config.target.server, "tributary admin", READERS)?;
        Ok(Self { config: config.clone(), pool, hosts: hosts(&config.admin, listen) })
    }

    /// Whether a browser that shows this page sends this `Origin`.
    pub(super) fn is_own_origin(&self, origin: &str, host: &str) -> bool {
        match &self.config.admin.public_url {
            Some(url) if origin == url => true,
            Some(url) if host_of(url) == host => false,
            _ => origin == format!("http://{host}") || origin == format!("https://{host}"),
        }
    }
}

/// Names under which the page is served. Another one is a name that somebody else made to point here.
fn hosts(page: &AdminPage, listen: SocketAddr) -> Vec<String> {
    let mut hosts = page.hosts.clone();
    hosts.extend(page.public_url.as_deref().map(host_of));
    let port = listen.port();
    hosts.extend(["localhost", "127.0.0.1", "[::1]"].map(|name| format!("{name}:{port}")));
    if !listen.ip().is_unspecified() {
        hosts.push(listen.to_string());
    }
    hosts
}

/// `host[:port]` of an origin.
fn host_of(origin: &str) -> String {
    let uri: Option<Uri> = origin.parse().ok();
    uri.and_then(|uri| uri.authority().map(ToString::to_string)).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn serves_only_the_names_that_are_its_own() {
        let page = |url: Option<&str>, hosts: &[&str]| AdminPage {
            public_url: url.map(str::to_owned),
            hosts: hosts.iter().map(|&host| host.to_owned()).collect(),
            ..AdminPage::default()
        };
        let listen: SocketAddr = "0.0.0.0:9464".parse().unwrap();
        let of = |page: &AdminPage| hosts(page, listen);
        assert_eq!(of(&page(None, &[])), ["localhost:9464", "127.0.0.1:9464", "[::1]:9464"]);
        let own = of(&page(Some("https://a.example.com"), &["b.example.com:81"]));
        assert_eq!(own[..2], ["b.example.com:81", "a.example.com"]);
        let on_one = hosts(&page(None, &[]), "192.0.2.1:9464".parse().unwrap());
        assert!(on_one.contains(&"192.0.2.1:9464".to_owned()));
    }
}
