//! Child processes: that never outlive this one, the program that is measured, the memory that one had.

use std::path::PathBuf;
use std::process::{Child, Command, Stdio};

use crate::error::{Error, Result};

/// Sends SIGTERM to a process when standard input closes; one that is suspended takes it once it goes on.
const SCRIPT: &str = r#"
trap '' INT TERM HUP
read -r _
kill -TERM "$1"
kill -CONT "$1"
"#;

/// A small shell that holds the reading end of a pipe whose writing end is ours. Whatever ends this
/// process, SIGKILL included, closes the pipe, and the shell then sends SIGTERM to the watched process.
#[derive(Debug)]
pub struct Watchdog(Child);

impl Watchdog {
    /// Watches a process.
    ///
    /// # Errors
    /// `Failed` where there is no `/bin/sh`.
    pub fn over(pid: u32) -> Result<Self> {
        use std::os::unix::process::CommandExt as _;
        let shell = Command::new("/bin/sh")
            .args(["-c", SCRIPT, "watchdog", &pid.to_string()])
            .stdin(Stdio::piped())
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            // Ctrl-C on the terminal must reach us, not the shell.
            .process_group(0)
            .spawn();
        shell.map(Self).map_err(|error| Error::failed("starting /bin/sh", error))
    }

    /// Sends SIGTERM to the watched process; it has been sent when this returns.
    pub fn terminate(&mut self) {
        drop(self.0.stdin.take());
        // Nothing can be done about a failure here.
        let _ = self.0.wait();
    }

    /// Ends the watch without a signal: the process is gone, and its id may soon be another's.
    pub fn release(&mut self) {
        // A shell that has ended already is what is wanted.
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

impl Drop for Watchdog {
    fn drop(&mut self) {
        self.terminate();
    }
}

/// The most memory that a process has had so far (VmHWM), in bytes; `None` where the system does not say.
#[must_use]
pub fn peak_memory(pid: u32) -> Option<u64> {
    high_water_mark(&std::fs::read_to_string(format!("/proc/{pid}/status")).ok()?)
}

fn high_water_mark(status: &str) -> Option<u64> {
    let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:"))?;
    let kibibytes: u64 = line.trim().strip_suffix("kB")?.trim().parse().ok()?;
    Some(kibibytes * 1024)
}

/// The program `tributary`: `TRIBUTARY_BIN`, else the one beside this one.
///
/// # Errors
/// `Refused` where it is not there.
pub fn tributary() -> Result<PathBuf> {
    let beside = || std::env::current_exe().map(|this| this.with_file_name("tributary"));
    let program = match std::env::var_os("TRIBUTARY_BIN") {
        Some(program) => PathBuf::from(program),
        None => beside().map_err(|error| Error::failed("looking for tributary", error))?,
    };
    if program.is_file() {
        return Ok(program);
    }
    let problem = format!("{} is missing", program.display());
    Err(Error::refused(problem, "build it, or set TRIBUTARY_BIN"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_peak_is_read_in_bytes() {
        let status = "Name:\ttributary\nVmPeak:\t  999999 kB\nVmHWM:\t   24576 kB\nVmRSS:\t 1 kB\n";
        assert_eq!(high_water_mark(status), Some(24 << 20));
        assert_eq!(high_water_mark("Name:\tzombie\n"), None);
    }

    fn sleeper() -> Child {
        Command::new("sleep").arg("600").spawn().unwrap()
    }

    #[test]
    fn a_dropped_watchdog_terminates_and_a_released_one_does_not() {
        use std::os::unix::process::ExitStatusExt as _;
        let mut watched = sleeper();
        drop(Watchdog::over(watched.id()).unwrap());
        assert_eq!(watched.wait().unwrap().signal(), Some(15));
        let mut spared = sleeper();
        let mut watchdog = Watchdog::over(spared.id()).unwrap();
        watchdog.release();
        drop(watchdog);
        assert!(spared.try_wait().unwrap().is_none());
        spared.kill().unwrap();
        spared.wait().unwrap();
    }
}
