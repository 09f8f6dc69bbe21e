//! `tributary run`: the daemon.

use std::process::ExitCode;
use std::sync::Arc;
use std::time::Duration;

use jiff::Timestamp;
use tokio::signal::unix::{SignalKind, signal};
use tokio_util::sync::CancellationToken;

use super::progress::Bar;
use crate::backfill::Progress;
use crate::config::Config;
use crate::error::{Error, Result};
use crate::http::{self, Counts, Health};
use crate::verify::Verification;
use crate::{metrics, pipeline};

/// The main loop comes round at least this often while it is alive, or a server works on a statement of it
/// ([`pipeline::watchdog`]).
const TICK_BOUND: Duration = Duration::from_secs(60);

/// Longest time between the signal and the exit; what is not committed by then is replayed.
const STOP_BOUND: Duration = Duration::from_millis(4_500);

/// Runs until SIGTERM or SIGINT.
///
/// # Errors
/// What no retry mends.
pub(super) async fn run(config: &Config) -> Result<ExitCode> {
    let prometheus = metrics::install()?;
    metrics::start_feeds(config.source.feeds.iter().map(|feed| feed.name.as_str()));
    let listener = http::bind(config.http_listen).await?;
    let health = Arc::new(Health::new(&config.source.slot, Timestamp::now(), TICK_BOUND));
    let shutdown = stop_on_signal()?;
    let server = tokio::spawn(http::serve(
        listener,
        Arc::clone(&health),
        prometheus,
        Some(Counts::new(config)?),
        shutdown.clone().cancelled_owned(),
    ));
    let _verification = Verification::start(config, &health)?;
    let _judged = pipeline::ProgressWatch::watch(config, &health);
    let bar = Bar::new();
    let show = |at: &Progress| bar.show(at);
    let work = pipeline::run(config, &health, &shutdown, &show);
    let result = tokio::select! {
        result = work => result,
        () = deadline(&shutdown) => {
            tracing::warn!("the work in hand took too long; it will be repeated at the next start");
            Ok(())
        }
        never = pipeline::watchdog::watch(config, &health) => match never {},
    };
    shutdown.cancel();
    let served = server.await.map_err(|error| Error::failed("serving HTTP", error))?;
    result.and(served)?;
    Ok(ExitCode::SUCCESS)
}

/// A token that is cancelled by SIGTERM or SIGINT.
///
/// # Errors
/// When the signals cannot be listened to.
pub(super) fn stop_on_signal() -> Result<CancellationToken> {
    let listen = |kind| signal(kind).map_err(|e| Error::failed("listening for signals", e));
    let (mut term, mut int) = (listen(SignalKind::terminate())?, listen(SignalKind::interrupt())?);
    let token = CancellationToken::new();
    let cancel = token.clone();
    tokio::spawn(async move {
        tokio::select! {
            _ = term.recv() => {}
            _ = int.recv() => {}
        }
        tracing::info!("stopping");
        cancel.cancel();
    });
    Ok(token)
}

async fn deadline(shutdown: &CancellationToken) {
    shutdown.cancelled().await;
    tokio::time::sleep(STOP_BOUND).await;
}
