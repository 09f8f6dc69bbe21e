//! `tributary run` as a child process that never outlives its scenario.

use std::process::{ExitStatus, Stdio};
use std::time::{Duration, Instant};

use serde_json::Value;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;
use tokio::process::{Child, Command};
use tributary::lsn::Lsn;

use super::world::{Place, World};
use super::{PATIENCE, eventually};

/// A running daemon.
pub(crate) struct Daemon {
    child: Child,
    http: u16,
    log: tempfile::NamedTempFile,
}

impl Daemon {
    pub(crate) fn start(world: &World) -> Self {
        Self::start_with(world, &[])
    }

    /// With these variables in its environment.
    pub(crate) fn start_with(world: &World, variables: &[(&str, &str)]) -> Self {
        let log = tempfile::NamedTempFile::new().unwrap();
        let mut command = world.command(&["run"]);
        command.envs(variables.iter().copied());
        command.stdout(Stdio::null()).stderr(Stdio::from(log.reopen().unwrap()));
        Self { child: command.spawn().unwrap(), http: world.http, log }
    }

    /// The end of what the daemon wrote to standard error.
    pub(crate) fn log(&self) -> String {
        let log = std::fs::read_to_string(self.log.path()).unwrap_or_default();
        let lines: Vec<&str> = log.lines().collect();
        lines[lines.len().saturating_sub(40)..].join("\n")
    }

    /// All that the daemon wrote to standard error.
    pub(crate) fn whole_log(&self) -> String {
        std::fs::read_to_string(self.log.path()).unwrap()
    }

    pub(crate) fn pid(&self) -> u32 {
        self.child.id().expect("the daemon runs")
    }

    /// Sends a signal, such as `STOP`.
    pub(crate) async fn signal(&self, name: &str) {
        let arguments = [format!("-{name}"), self.pid().to_string()];
        assert!(Command::new("kill").args(arguments).status().await.unwrap().success());
    }

    /// Sends SIGTERM and waits for the end.
    pub(crate) async fn terminate(mut self) -> ExitStatus {
        self.signal("TERM").await;
        let ended = tokio::time::timeout(PATIENCE, self.child.wait()).await;
        ended.unwrap_or_else(|_| panic!("SIGTERM was ignored\n{}", self.log())).unwrap()
    }

    /// Sends SIGKILL and waits for the end.
    pub(crate) async fn kill9(mut self) {
        self.child.kill().await.unwrap();
    }

    /// Waits until the process has ended by itself.
    pub(crate) async fn ended(&mut self) -> ExitStatus {
        let ended = tokio::time::timeout(PATIENCE, self.child.wait()).await;
        ended.unwrap_or_else(|_| panic!("the daemon never ended\n{}", self.log())).unwrap()
    }

    /// Whether the process has not ended.
    pub(crate) fn is_running(&mut self) -> bool {
        self.child.try_wait().unwrap().is_none()
    }

    /// Code and body of a GET; `None` while nothing listens.
    pub(crate) async fn get(&self, path: &str) -> Option<(u16, String)> {
        let mut stream = TcpStream::connect(("127.0.0.1", self.http)).await.ok()?;
        let request =
            format!("GET {path} HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n");
        stream.write_all(request.as_bytes()).await.ok()?;
        let mut answer = String::new();
        stream.read_to_string(&mut answer).await.ok()?;
        let (head, body) = answer.split_once("\r\n\r\n")?;
        let code = head.split(' ').nth(1)?.parse().ok()?;
        Some((code, body.to_owned()))
    }

    /// `/status`; NULL while nothing listens.
    pub(crate) async fn status(&self) -> Value {
        let answer = self.get("/status").await;
        answer.and_then(|(_, body)| serde_json::from_str(&body).ok()).unwrap_or_default()
    }

    /// Sum of a metric over its labels; 0 where it is not there.
    pub(crate) async fn metric(&self, name: &str) -> f64 {
        let body = self.get("/metrics").await.map(|(_, body)| body).unwrap_or_default();
        let lines = body.lines().filter(|line| {
            line.strip_prefix(name).is_some_and(|rest| rest.starts_with([' ', '{']))
        });
        lines.filter_map(|line| line.rsplit(' ').next()?.parse::<f64>().ok()).sum()
    }

    /// Waits for a phase of SPEC §9.
    pub(crate) async fn wait_for_phase(&mut self, phase: &str) {
        let start = Instant::now();
        while self.status().await["phase"] != phase {
            assert!(self.is_running(), "the daemon ended before {phase}\n{}", self.log());
            assert!(start.elapsed() < PATIENCE, "phase {phase} never came\n{}", self.log());
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
    }

    /// Waits until the backfill has read this many rows, or is over. Gives the rows; they are never
    /// fewer than `before`, those of an earlier run.
    pub(crate) async fn wait_for_rows(&mut self, rows: i64, before: i64) -> i64 {
        let start = Instant::now();
        loop {
            let status = self.status().await;
            let done = status["backfill"]["rows_done"].as_i64().unwrap_or_default();
            let phase = status["phase"].as_str().unwrap_or_default();
            let known = ["backfilling", "streaming"].contains(&phase);
            assert!(!known || done >= before, "rows_done fell from {before} to {done}");
            if phase == "streaming" || known && done >= rows {
                return done;
            }
            assert!(self.is_running(), "the daemon ended in its backfill\n{}", self.log());
            assert!(start.elapsed() < PATIENCE, "{rows} rows were never read\n{}", self.log());
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
    }

    /// Waits until all that is committed at the source now is applied.
    pub(crate) async fn wait_until_caught_up(&self, world: &World) {
        let until = world.source.lsn().await;
        let what = format!("a checkpoint at {until}");
        let reached = || async { checkpoint(&world.target, &world.slot).await >= Some(until) };
        eventually(&what, || self.log(), reached).await;
    }
}

/// The stored checkpoint of a slot; `None` before the first, and while the target is away.
pub(crate) async fn checkpoint(target: &Place, slot: &str) -> Option<Lsn> {
    let client = target.cluster.connect(&target.database).await.ok()?;
    let sql = "select lsn::text from tributary.checkpoint where slot = $1";
    let row = client.query_opt(sql, &[&slot]).await.ok()??;
    Lsn::parse(&row.get::<_, Option<String>>(0)?)
}
