//! A throwaway PostgreSQL server.
//!
//! Everything lives in one temporary directory. A small shell, the *watchdog*, holds the reading end
//! of a pipe whose writing end is ours: whatever ends this process, a panic, Ctrl-C or SIGKILL, closes
//! the pipe, and the watchdog then stops the server and removes the directory. So nothing stays behind.

use std::fs;
use std::io::Write as _;
use std::net::TcpListener;
use std::os::unix::fs::{DirBuilderExt as _, chown};
use std::os::unix::process::CommandExt as _;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;

use tokio_postgres::{Client, NoTls};
use uuid::Uuid;

use crate::error::{Context as _, Error, Result};
use crate::installation::{Installation, Owner};

/// Seconds that a start or stop of the server may take; a crash recovery of demo data needs few.
const PATIENCE_SECONDS: &str = "60";

/// Ports tried before giving up: another process may take a free port before the server does.
const PORT_ATTEMPTS: u32 = 5;

/// Settings of every throwaway server; later ones win.
const SETTINGS: &str = "\
listen_addresses = '127.0.0.1'
wal_level = logical
max_replication_slots = 20
max_wal_senders = 20
max_connections = 200
shared_buffers = 128MB
max_wal_size = 4GB
wal_sender_timeout = 30s
log_min_messages = warning
log_timezone = 'UTC'
timezone = 'UTC'
";

/// Ends the server and its directory when standard input closes.
const WATCHDOG: &str = r#"
trap '' INT TERM HUP
read -r _
"$1" -D "$2/data" -m immediate -w -t 30 stop
rm -rf "$2"
"#;

/// How a throwaway server differs from the default.
#[derive(Debug, Clone, Default)]
pub struct ClusterOptions {
    /// Whether commits reach the disk (`fsync`). Off is faster; on where a crash of the machine or of
    /// the server is the subject.
    pub durable: bool,
    /// More lines of `postgresql.conf`, such as `("max_replication_slots", "64")`.
    pub settings: Vec<(String, String)>,
    /// Variables of the server's environment.
    pub environment: Vec<(String, String)>,
}

/// The modes of `pg_ctl stop`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum StopMode {
    /// Disconnects clients, waits for replication to drain, writes a checkpoint.
    Fast,
    /// As a crash: nothing is written, the next start recovers.
    Immediate,
}

/// A running PostgreSQL server that is gone when the value is dropped or the process ends.
#[derive(Debug)]
pub struct Cluster {
    installation: Installation,
    owner: Option<Owner>,
    directory: PathBuf,
    port: u16,
    password: String,
    environment: Vec<(String, String)>,
    watchdog: Child,
}

impl Cluster {
    /// Creates and starts a server. Takes one to three seconds and blocks.
    ///
    /// # Errors
    /// `Refused` with the package to install where no PostgreSQL is found; `Failed` with the words of
    /// `initdb` or the server where it does not start.
    pub fn start(options: &ClusterOptions) -> Result<Self> {
        let installation = Installation::find()?;
        let owner = Owner::when_root()?;
        let directory = create_directory(owner)?;
        let watchdog = start_watchdog(&installation, owner, &directory)?;
        let password = Uuid::new_v4().simple().to_string();
        let environment = options.environment.clone();
        let mut cluster =
            Self { installation, owner, directory, port: 0, password, environment, watchdog };
        cluster.initialise(options)?;
        cluster.start_on_a_free_port()?;
        Ok(cluster)
    }

    /// The port that it listens on, on loopback.
    #[must_use]
    pub fn port(&self) -> u16 {
        self.port
    }

    /// The URL of a database over loopback, with the password.
    #[must_use]
    pub fn url(&self, database: &str) -> String {
        format!(
            "postgresql://postgres:{}@127.0.0.1:{}/{database}?sslmode=disable",
            self.password, self.port
        )
    }

    /// A superuser's connection to a database.
    ///
    /// # Errors
    /// `Unavailable` while the server is stopped.
    pub async fn connect(&self, database: &str) -> Result<Client> {
        connect(&self.url(database)).await
    }

    /// Runs one or several statements, as `psql -c` would.
    ///
    /// # Errors
    /// Those of the server.
    pub async fn execute(&self, database: &str, sql: &str) -> Result<()> {
        self.connect(database).await?.batch_execute(sql).await.context("the throwaway server")
    }

    /// Creates an empty database.
    ///
    /// # Errors
    /// Those of the server, such as a name that is taken.
    pub async fn create_database(&self, name: &str) -> Result<()> {
        self.execute("postgres", &format!("create database \"{name}\"")).await
    }

    /// Stops the server; the data stay for [`Cluster::start_again`].
    ///
    /// # Errors
    /// `Failed` where it does not stop within a minute.
    pub fn stop(&self, mode: StopMode) -> Result<()> {
        let mode = match mode {
            StopMode::Fast => "fast",
            StopMode::Immediate => "immediate",
        };
        self.pg_ctl(&["-m", mode, "-w", "-t", PATIENCE_SECONDS, "stop"])
    }

    /// Starts the stopped server on the same port.
    ///
    /// # Errors
    /// `Failed` with the end of the server's log.
    pub fn start_again(&self) -> Result<()> {
        let log = self.log_file();
        let log = log.to_string_lossy();
        self.pg_ctl(&["-l", &log, "-w", "-t", PATIENCE_SECONDS, "-s", "start"]).map_err(|error| {
            Error::failed("starting the throwaway PostgreSQL", format!("{error}\n{}", self.log()))
        })
    }

    /// Stops the server and starts it as a standby of nothing: it may be read, until `pg_promote()`.
    ///
    /// # Errors
    /// Those of the two steps.
    pub fn restart_as_standby(&self) -> Result<()> {
        self.stop(StopMode::Fast)?;
        write_owned(&self.data().join("standby.signal"), "", self.owner)?;
        self.start_again()
    }

    /// Stops and starts the server.
    ///
    /// # Errors
    /// Those of the two steps.
    pub fn restart(&self, mode: StopMode) -> Result<()> {
        self.stop(mode)?;
        self.start_again()
    }

    /// Keeps a copy of the data of the stopped server, for [`Cluster::restore`].
    ///
    /// # Errors
    /// `Failed` where the disk is full.
    pub fn save(&self) -> Result<()> {
        self.copy("data", "saved")
    }

    /// Puts the stopped server back to where it was at [`Cluster::save`].
    ///
    /// # Errors
    /// `Failed` where nothing was saved.
    pub fn restore(&self) -> Result<()> {
        self.copy("saved", "data")
    }

    fn copy(&self, from: &str, to: &str) -> Result<()> {
        let (from, to) = (self.directory.join(from), self.directory.join(to));
        if to.exists() {
            run(Command::new("rm").arg("-rf").arg(&to), "removing a copy of the data")?;
        }
        run(Command::new("cp").arg("-a").arg(&from).arg(&to), "copying the data")
    }

    /// Kills a backend with SIGKILL: the server then recovers as after a crash.
    ///
    /// # Errors
    /// `Failed` where there is no such process.
    pub fn kill_backend(&self, pid: i32) -> Result<()> {
        let mut kill = Command::new("kill");
        kill.args(["-KILL", &pid.to_string()]);
        run(&mut kill, "killing a backend")
    }

    /// The last lines of the server's log.
    #[must_use]
    pub fn log(&self) -> String {
        let log = fs::read(self.log_file()).unwrap_or_default();
        let log = String::from_utf8_lossy(&log).into_owned();
        let lines: Vec<&str> = log.lines().collect();
        lines[lines.len().saturating_sub(20)..].join("\n")
    }

    /// Where the server lives; gone after the drop.
    #[must_use]
    pub fn directory(&self) -> &Path {
        &self.directory
    }

    fn log_file(&self) -> PathBuf {
        self.directory.join("log")
    }

    fn data(&self) -> PathBuf {
        self.directory.join("data")
    }

    /// A program of the installation, run as the owner of the data.
    fn program(&self, name: &str) -> Command {
        command(&self.installation.program(name), self.owner, &self.directory)
    }

    fn pg_ctl(&self, arguments: &[&str]) -> Result<()> {
        let mut pg_ctl = self.program("pg_ctl");
        pg_ctl.arg("-D").arg(self.data()).args(arguments);
        pg_ctl.envs(self.environment.iter().map(|(name, value)| (name, value)));
        run(&mut pg_ctl, "pg_ctl")
    }

    fn initialise(&self, options: &ClusterOptions) -> Result<()> {
        let password_file = self.directory.join("password");
        write_owned(&password_file, &self.password, self.owner)?;
        let mut initdb = self.program("initdb");
        initdb.arg("-D").arg(self.data()).arg("--pwfile").arg(&password_file).args([
            "-U",
            "postgres",
            "--auth-local=trust",
            "--auth-host=scram-sha-256",
            "--encoding=UTF8",
            "--locale=C",
            "--no-sync",
        ]);
        run(&mut initdb, "initdb")?;
        let mut settings = SETTINGS.to_owned();
        settings += &format!("unix_socket_directories = '{}'\n", self.directory.display());
        if !options.durable {
            settings += "fsync = off\nfull_page_writes = off\n";
        }
        for (name, value) in &options.settings {
            settings += &format!("{name} = '{}'\n", value.replace('\'', "''"));
        }
        self.append_settings(&settings)
    }

    fn append_settings(&self, lines: &str) -> Result<()> {
        let path = self.data().join("postgresql.conf");
        let file = fs::OpenOptions::new().append(true).open(&path);
        file.and_then(|mut file| file.write_all(lines.as_bytes()))
            .map_err(|error| Error::failed("writing postgresql.conf", error))
    }

    fn start_on_a_free_port(&mut self) -> Result<()> {
        let mut last = Ok(());
        for _ in 0..PORT_ATTEMPTS {
            self.port = free_port()?;
            self.append_settings(&format!("port = {}\n", self.port))?;
            last = self.start_again();
            if last.is_ok() {
                break;
            }
        }
        last
    }
}

impl Drop for Cluster {
    fn drop(&mut self) {
        drop(self.watchdog.stdin.take());
        // Nothing can be done about a failure here, and the watchdog goes on by itself.
        let _ = self.watchdog.wait();
    }
}

/// A connection without TLS whose task ends with the client.
///
/// # Errors
/// `Unavailable` where the server is away or silent for ten seconds.
pub async fn connect(url: &str) -> Result<Client> {
    let what = "connecting to the throwaway server";
    let attempt =
        tokio::time::timeout(Duration::from_secs(10), tokio_postgres::connect(url, NoTls));
    let (client, connection) =
        attempt.await.map_err(|_| Error::unavailable(what, "no answer in 10 s"))?.context(what)?;
    tokio::spawn(connection);
    Ok(client)
}

/// The version of the servers that [`Cluster::start`] makes, such as `15.8`.
///
/// # Errors
/// `Refused` where no PostgreSQL is found.
pub fn server_version() -> Result<String> {
    let what = "asking PostgreSQL for its version";
    let output = Command::new(Installation::find()?.program("postgres")).arg("--version").output();
    let output = output.map_err(|error| Error::failed(what, error))?;
    let words = String::from_utf8_lossy(&output.stdout).into_owned();
    // `postgres (PostgreSQL) 15.8 (Debian …)`
    let version = words.split_whitespace().nth(2);
    version.map(str::to_owned).ok_or_else(|| Error::failed(what, words))
}

/// A port of the loopback interface that nobody listened on a moment ago.
///
/// # Errors
/// `Failed` where no port is free.
pub fn free_port() -> Result<u16> {
    TcpListener::bind(("127.0.0.1", 0))
        .and_then(|listener| listener.local_addr())
        .map(|address| address.port())
        .map_err(|error| Error::failed("looking for a free port", error))
}

/// A new directory, private to the owner, with a path short enough for a socket (107 bytes).
fn create_directory(owner: Option<Owner>) -> Result<PathBuf> {
    static COUNTER: AtomicU32 = AtomicU32::new(0);
    let configured = std::env::temp_dir();
    // Another user may not reach a private TMPDIR.
    let usable = owner.is_none() && configured.as_os_str().len() < 60;
    let base = if usable { configured } else { PathBuf::from("/tmp") };
    let count = COUNTER.fetch_add(1, Ordering::Relaxed);
    let unique = &Uuid::new_v4().simple().to_string()[..6];
    let directory = base.join(format!("tributary-{}-{count}-{unique}", std::process::id()));
    let create = fs::DirBuilder::new().mode(0o700).create(&directory);
    create.and_then(|()| give(&directory, owner)).map_err(|error| {
        Error::failed(format!("creating the temporary directory {}", directory.display()), error)
    })?;
    Ok(directory)
}

fn give(path: &Path, owner: Option<Owner>) -> std::io::Result<()> {
    owner.map_or(Ok(()), |owner| chown(path, Some(owner.uid), Some(owner.gid)))
}

fn write_owned(path: &Path, content: &str, owner: Option<Owner>) -> Result<()> {
    fs::write(path, content)
        .and_then(|()| give(path, owner))
        .map_err(|error| Error::failed(format!("writing {}", path.display()), error))
}

fn start_watchdog(
    installation: &Installation,
    owner: Option<Owner>,
    directory: &Path,
) -> Result<Child> {
    let mut shell = command(Path::new("/bin/sh"), owner, Path::new("/"));
    shell.args(["-c", WATCHDOG, "watchdog"]).arg(installation.program("pg_ctl")).arg(directory);
    // Its own process group: Ctrl-C on the terminal must reach us, not it.
    shell.stdin(Stdio::piped()).stdout(Stdio::null()).stderr(Stdio::null()).process_group(0);
    shell.spawn().map_err(|error| Error::failed("starting /bin/sh", error))
}

fn command(program: &Path, owner: Option<Owner>, directory: &Path) -> Command {
    let mut command = Command::new(program);
    command.current_dir(directory).stdin(Stdio::null());
    for variable in ["PGDATA", "PGPORT", "PGHOST", "PGUSER", "PGDATABASE", "PGOPTIONS", "PGSERVICE"]
    {
        command.env_remove(variable);
    }
    if let Some(owner) = owner {
        command.uid(owner.uid).gid(owner.gid).env("HOME", directory);
    }
    command
}

/// Runs a program to its end; its words are the cause of a failure.
fn run(command: &mut Command, what: &str) -> Result<()> {
    let output = command.output().map_err(|error| Error::failed(what, error))?;
    if output.status.success() {
        return Ok(());
    }
    let words = [output.stdout, output.stderr].concat();
    Err(Error::failed(what, String::from_utf8_lossy(&words).trim()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test(flavor = "multi_thread")]
    async fn a_cluster_starts_survives_a_crash_and_leaves_nothing() {
        let cluster = Cluster::start(&ClusterOptions::default()).unwrap();
        cluster.create_database("demo").await.unwrap();
        cluster.execute("demo", "create table t as select 1 as x; checkpoint").await.unwrap();
        cluster.restart(StopMode::Immediate).unwrap();
        let client = cluster.connect("demo").await.unwrap();
        let row = client.query_one("select x, current_setting('wal_level') from t", &[]);
        let row = row.await.unwrap();
        assert_eq!((row.get::<_, i32>(0), row.get::<_, String>(1)), (1, "logical".to_owned()));
        let version: String = client.query_one("show server_version", &[]).await.unwrap().get(0);
        assert!(version.starts_with(&server_version().unwrap()), "{version}");
        cluster.stop(StopMode::Fast).unwrap();
        assert!(matches!(cluster.connect("demo").await, Err(Error::Unavailable { .. })));
        cluster.start_again().unwrap();
        let (directory, port) = (cluster.directory().to_owned(), cluster.port);
        drop(cluster);
        assert!(!directory.exists());
        assert!(std::net::TcpStream::connect(("127.0.0.1", port)).is_err());
    }
}
