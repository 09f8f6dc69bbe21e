//! The `tributary` binary: arguments, logging, dispatch, exit code.

use std::process::ExitCode;

use clap::Parser;
use tributary::{cli, logging};

/// Rows are many small texts: allocating them is a large part of the daemon's own work.
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

#[tokio::main]
async fn main() -> ExitCode {
    let arguments = cli::Arguments::parse();
    let done = match logging::init(std::env::var("RUST_LOG").ok().as_deref()) {
        Ok(()) => cli::run(arguments).await,
        Err(error) => Err(error),
    };
    done.unwrap_or_else(|error| cli::output::report(&error))
}
