//! The `tributary` binary: the allocator's setting, arguments, logging, dispatch, exit code.

use std::process::ExitCode;

use clap::Parser;
use tributary::{cli, logging};

fn main() -> ExitCode {
    #[cfg(all(target_os = "linux", target_env = "gnu"))]
    map_large_values();
    run()
}

#[tokio::main]
async fn run() -> ExitCode {
    let arguments = cli::Arguments::parse();
    let done = match logging::init(std::env::var("RUST_LOG").ok().as_deref()) {
        Ok(()) => cli::run(arguments).await,
        Err(error) => Err(error),
    };
    done.unwrap_or_else(|error| cli::output::report(&error))
}

/// Has glibc map every value over 128 KiB by itself, so that its memory is free as soon as the value is (P13). By default the
/// size from which it does so grows with the first such value that is freed, up to 32 MiB: from then on large values fragment its
/// heap, and half as much memory again stays resident. The size can be fixed only by the environment that a process starts with,
/// so the process begins again, under its own id. Where it is set already, or cannot be, nothing is changed.
#[cfg(all(target_os = "linux", target_env = "gnu"))]
fn map_large_values() {
    use std::os::unix::process::CommandExt as _;

    const SIZE: (&str, &str) = ("MALLOC_MMAP_THRESHOLD_", "131072");
    let mut arguments = std::env::args_os();
    let (Some(name), Ok(program)) = (arguments.next(), std::env::current_exe()) else { return };
    if std::env::var_os(SIZE.0).is_none() {
        let mut command = std::process::Command::new(program);
        // It returns only where it fails.
        let _ = command.arg0(name).args(arguments).env(SIZE.0, SIZE.1).exec();
    }
}
