//! The program under measurement as a child process.

use std::fs::File;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, bail, ensure};
use testkit::cluster::free_port;
use testkit::process::{Watchdog, peak_memory, tributary};

use crate::arena::Arena;

/// How long it may take to leave after SIGTERM; it promises five seconds.
const LEAVING: Duration = Duration::from_secs(15);

/// How often a process that is awaited is looked at.
const POLL: Duration = Duration::from_millis(5);

const CONFIG: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/../config/tributary.toml");

/// A running command of the program. Ended when dropped, and when this process ends in whatever way.
pub(crate) struct Daemon {
    child: Child,
    watchdog: Watchdog,
    log: PathBuf,
    peak: Option<u64>,
}

impl Daemon {
    /// Starts `tributary COMMAND` between the arena's source and a database of its target server.
    pub(crate) fn start(arena: &Arena, database: &str, command: &str) -> Result<Self> {
        let log = arena.target.directory().join("tributary.log");
        let child = Command::new(tributary()?)
            .arg(command)
            .env("TRIBUTARY_CONFIG", CONFIG)
            .env("TRIBUTARY_SOURCE_URL", arena.url())
            .env("TRIBUTARY_TARGET_URL", arena.target.url(database))
            .env("TRIBUTARY_HTTP_LISTEN", format!("127.0.0.1:{}", free_port()?))
            .env_remove("RUST_LOG")
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(File::create(&log)?)
            .spawn()
            .context("starting tributary")?;
        let watchdog = Watchdog::over(child.id())?;
        Ok(Self { child, watchdog, log, peak: None })
    }

    /// Fails where it has ended, with the end of its log.
    pub(crate) fn check(&mut self) -> Result<()> {
        if let Some(status) = self.child.try_wait()? {
            self.watchdog.release();
            bail!("tributary ended: {status}\n{}", last_lines(&self.log));
        }
        self.look();
        Ok(())
    }

    /// Suspends it, or lets it go on.
    pub(crate) fn suspend(&self, yes: bool) -> Result<()> {
        let signal = if yes { "-STOP" } else { "-CONT" };
        let status = Command::new("kill").args([signal, &self.child.id().to_string()]).status()?;
        ensure!(status.success(), "kill {signal}: {status}");
        Ok(())
    }

    /// The most memory it has had so far (VmHWM), in bytes; `None` where the system does not say.
    pub(crate) fn peak(&mut self) -> Option<u64> {
        self.look();
        self.peak
    }

    /// Waits for its own end, which must be a success.
    pub(crate) fn finish(mut self, patience: Duration) -> Result<Option<u64>> {
        self.wait(patience, "ending")?;
        Ok(self.peak)
    }

    /// Asks it to leave and waits; gives its peak memory.
    pub(crate) fn stop(mut self) -> Result<Option<u64>> {
        self.look();
        self.watchdog.terminate();
        self.wait(LEAVING, "leaving after SIGTERM")?;
        Ok(self.peak)
    }

    fn wait(&mut self, patience: Duration, what: &str) -> Result<()> {
        let start = Instant::now();
        loop {
            if let Some(status) = self.child.try_wait()? {
                self.watchdog.release();
                ensure!(status.success(), "tributary: {status}\n{}", last_lines(&self.log));
                return Ok(());
            }
            self.look();
            let log = || last_lines(&self.log);
            ensure!(start.elapsed() < patience, "tributary takes too long {what}\n{}", log());
            std::thread::sleep(POLL);
        }
    }

    fn look(&mut self) {
        self.peak = self.peak.max(peak_memory(self.child.id()));
    }
}

impl Drop for Daemon {
    fn drop(&mut self) {
        // First, so that no signal goes to a process that takes over the id.
        self.watchdog.release();
        // It may have ended by itself.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

fn last_lines(log: &Path) -> String {
    let log = std::fs::read(log).unwrap_or_default();
    let log = String::from_utf8_lossy(&log).into_owned();
    let lines: Vec<&str> = log.lines().collect();
    lines[lines.len().saturating_sub(20)..].join("\n")
}
