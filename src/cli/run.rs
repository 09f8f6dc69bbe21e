//! `tributary run`: the daemon.

use std::process::ExitCode;
use std::sync::Arc;
use std::time::Duration;

use jiff::Timestamp;
use tokio::signal::unix::{SignalKind, signal};
use tokio::sync::oneshot;
use tokio_util::sync::CancellationToken;

use super::Context;
use super::progress::Bar;
use super::reload::Reload;
use crate::admin::Admin;
use crate::config::Config;
use crate::error::{Error, Result};
use crate::http::{self, Counts, Health};
use crate::jobs;
use crate::status::Phase;
use crate::store::backfill::Progress;
use crate::thread::Thread;
use crate::verify::continuous;
use crate::{daemon, failpoint, metrics, systemd};

/// The main loop comes round at least this often while it is alive, or a server works on a statement of it
/// ([`daemon::watchdog`]).
const TICK_BOUND: Duration = Duration::from_secs(60);

/// Longest time between the signal and the exit; what is not committed by then is replayed.
const STOP_BOUND: Duration = Duration::from_millis(4_500);

/// Runs until SIGTERM or SIGINT. A reload that changes something ends the sessions in order and opens others.
///
/// # Errors
/// What no retry heals.
pub(super) async fn run(context: &Context) -> Result<ExitCode> {
    let mut config = context.config()?;
    crate::logging::set_phase(Phase::Starting);
    crate::connect::warn_of_plaintext(&config);
    let mut reload = Reload::of(context.config_file())?;
    let prometheus = metrics::install()?;
    #[cfg(feature = "otlp")]
    let exporter = crate::traces::Exporter::start()?;
    metrics::start_feeds(config.source.feeds.iter().map(|feed| feed.name.as_str()));
    let listener = http::bind(config.http_listen)?;
    let bound = failpoint::longest_silence(TICK_BOUND);
    let health = Arc::new(Health::new(&config.source.slot, Timestamp::now(), bound));
    let shutdown = stop_on_signal()?;
    let counts = Arc::new(Counts::new(&config)?);
    let listen = listener.local_addr().unwrap_or(config.http_listen);
    let admin = Arc::new(Admin::new(&config, Arc::clone(&health), listen)?);
    let served = http::serve(
        listener,
        Arc::clone(&health),
        prometheus,
        Some(Arc::clone(&counts)),
        config.http_access.token().map(str::to_owned),
        Some(Arc::clone(&admin)),
        shutdown.clone().cancelled_owned(),
    );
    let (answer, mut served) = answered(served);
    let (informed, sampled) = (Arc::clone(&health), Arc::clone(&admin));
    // Whoever asks is answered while the loop computes,
    let _server = Thread::start("http", || async move {
        tokio::select! {
            () = answer => {}
            never = sampled.sample() => match never {},
        }
    })?;
    // and the service manager is informed, also while it does not read what is sent to it: then a send waits.
    let informed =
        Thread::start("systemd", || async move { match systemd::inform(informed).await {} })?;
    let bar = Bar::new();
    let show = |at: &Progress| bar.show(at);
    let result = loop {
        let worked = until_reload(&config, &health, &shutdown, &show, &mut reload);
        let ended = tokio::select! {
            ended = worked => ended,
            error = http_ended(&mut served, &shutdown) => return Err(error),
        };
        match ended {
            Ended::Done(result) => break result,
            Ended::Reloads(new) => {
                config = *new;
                counts.reconfigure(&config)?;
                admin.reconfigure(&config)?;
            }
        }
    };
    drop(informed);
    #[cfg(feature = "otlp")]
    if let Some(exporter) = exporter {
        exporter.shut_down().await;
    }
    shutdown.cancel();
    let served = served.await.map_err(|error| Error::failed("serving HTTP", error))?;
    systemd::stopping();
    result.and(served)?;
    Ok(ExitCode::SUCCESS)
}

/// Work whose result is sent where it is awaited.
fn answered<T>(work: impl Future<Output = T>) -> (impl Future<Output = ()>, oneshot::Receiver<T>) {
    let (answer, awaited) = oneshot::channel();
    let work = async {
        // Not awaited any more: the daemon ended by an error of its own.
        let _ = answer.send(work.await);
    };
    (work, awaited)
}

/// Waits until the HTTP endpoint ends before the daemon is to stop. A daemon that nobody can watch does not go on.
async fn http_ended(
    served: &mut oneshot::Receiver<Result<()>>,
    shutdown: &CancellationToken,
) -> Error {
    tokio::select! {
        biased;
        () = shutdown.cancelled() => std::future::pending().await,
        served = served => match served {
            Ok(Err(error)) => error,
            _ => Error::failed("serving HTTP", "it ended by itself"),
        },
    }
}

/// How a stretch of work under one configuration ends.
enum Ended {
    Done(Result<()>),
    Reloads(Box<Config>),
}

async fn until_reload(
    config: &Config,
    health: &Arc<Health>,
    shutdown: &CancellationToken,
    show: daemon::Show<'_>,
    reload: &mut Reload,
) -> Ended {
    let _verification = match continuous::start(config, health) {
        Ok(verification) => verification,
        Err(error) => return Ended::Done(Err(error)),
    };
    let _jobs = match jobs::start(config, health) {
        Ok(jobs) => jobs,
        Err(error) => return Ended::Done(Err(error)),
    };
    let _judged = daemon::ProgressWatch::watch(config, health);
    let stretch = shutdown.child_token();
    let work = daemon::run(config, health, &stretch, show);
    tokio::pin!(work);
    let new = tokio::select! {
        result = &mut work => return Ended::Done(result),
        () = deadline(shutdown) => {
            tracing::warn!("the work in hand took too long; it will be repeated at the next start");
            return Ended::Done(Ok(()));
        }
        never = daemon::watchdog::watch(config, health) => match never {},
        new = reload.next(config) => new,
    };
    stretch.cancel();
    let ended = tokio::select! {
        result = &mut work => result,
        () = deadline(&stretch) => {
            tracing::warn!("the work in hand took too long; it is repeated after the reload");
            Ok(())
        }
    };
    if ended.is_err() {
        return Ended::Done(ended);
    }
    if shutdown.is_cancelled() { Ended::Done(Ok(())) } else { Ended::Reloads(Box::new(new)) }
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
