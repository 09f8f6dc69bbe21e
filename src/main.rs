//! The `tributary` binary: the allocator, arguments, logging, dispatch, exit code.

use std::process::ExitCode;

use clap::Parser;
use tributary::{cli, logging};

/// A third of the processor time of a batch is saved by it, and what is freed goes back to the system: its settings are in
/// `.cargo/config.toml`.
#[global_allocator]
static ALLOCATOR: tikv_jemallocator::Jemalloc = tikv_jemallocator::Jemalloc;

/// One thread for what waits on the servers: an answer is taken up where it arrives, without waking another thread. What
/// computes for long uses all cores ([`tributary::cores`]); what must answer meanwhile has a [`tributary::thread`].
#[tokio::main(flavor = "current_thread")]
async fn main() -> ExitCode {
    let arguments = cli::Arguments::parse();
    let done = match logging::init(std::env::var("RUST_LOG").ok().as_deref()) {
        Ok(()) => cli::run(arguments).await,
        Err(error) => Err(error),
    };
    done.unwrap_or_else(|error| cli::output::report(&error))
}
