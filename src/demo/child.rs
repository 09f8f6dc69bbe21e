//! The daemon as a child process that never outlives this one.

use std::fs::File;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::time::Duration;

use testkit::process::Watchdog;
use tokio::process::{Child, Command};

use crate::error::{Error, Result};
use crate::http;
use crate::status::Status;

/// How long the daemon may take to leave after SIGTERM; it promises five seconds.
const LEAVING: Duration = Duration::from_secs(15);

/// A running `tributary run`.
#[derive(Debug)]
pub(super) struct Daemon {
    child: Child,
    watchdog: Watchdog,
    listen: SocketAddr,
    log: PathBuf,
}

impl Daemon {
    /// Starts this very program as a daemon. Its log goes to a file.
    pub(super) fn start(
        environment: &[(&str, String)],
        listen: SocketAddr,
        log: &Path,
    ) -> Result<Self> {
        let what = "starting the daemon";
        let failed = |error: std::io::Error| Error::failed(what, error);
        let program = std::env::current_exe().map_err(failed)?;
        let output = File::create(log).map_err(failed)?;
        let child = Command::new(program)
            .arg("run")
            .envs(environment.iter().map(|(name, value)| (*name, value.as_str())))
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(output)
            .kill_on_drop(true)
            .spawn()
            .map_err(failed)?;
        let id = child.id().ok_or_else(|| Error::failed(what, "it has no process id"))?;
        let watchdog = Watchdog::over(id)?;
        Ok(Self { child, watchdog, listen, log: log.to_owned() })
    }

    /// What the daemon says of itself; `None` while it does not listen yet.
    ///
    /// # Errors
    /// Its last words, where it has ended.
    pub(super) async fn status(&mut self) -> Result<Option<Status>> {
        if let Ok(Some(status)) = self.child.try_wait() {
            self.watchdog.release();
            return Err(Error::failed(
                "the daemon ended early",
                format!("{status}\n{}", self.words()),
            ));
        }
        let answer = http::fetch(self.listen, "/status", None).await.ok();
        Ok(answer.and_then(|answer| serde_json::from_str(&answer.body).ok()))
    }

    /// Asks it to leave, and waits.
    ///
    /// # Errors
    /// Where it leaves with an error, or not at all.
    pub(super) async fn stop(&mut self) -> Result<()> {
        self.watchdog.terminate();
        match tokio::time::timeout(LEAVING, self.child.wait()).await {
            Ok(Ok(status)) if status.success() => Ok(()),
            Ok(status) => {
                Err(Error::failed("the daemon left", format!("{status:?}\n{}", self.words())))
            }
            Err(_) => Err(Error::failed("stopping the daemon", "it did not leave")),
        }
    }

    /// The last lines of its log.
    fn words(&self) -> String {
        let log = std::fs::read_to_string(&self.log).unwrap_or_default();
        let lines: Vec<&str> = log.lines().collect();
        lines[lines.len().saturating_sub(10)..].join("\n")
    }
}
