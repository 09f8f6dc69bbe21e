//! Child processes that never outlive this one.

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

#[cfg(test)]
mod tests {
    use super::*;

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
