//! The HTTP endpoint (SPEC §9): `/metrics`, `/livez`, `/readyz`, `/status`, and [`crate::admin`].
//!
//! All but the last only reads. What it answers comes from [`Health`], which the main loop keeps up to date, so an answer
//! comes also while both databases are away; only open conflicts are counted when somebody asks ([`Counts`]).
//! The default address is on the loopback; elsewhere `/metrics` and `/status` want a token, unless the operator said in so many
//! words that they need none. There is no customer value in any answer (P14).

mod changes;
mod client;
mod counts;
mod health;
mod server;

use std::net::{SocketAddr, TcpListener};
use std::sync::Arc;
use std::time::Duration;

use axum::extract::{RawQuery, Request, State};
use axum::http::{StatusCode, header};
use axum::middleware::{self, Next};
use axum::response::{IntoResponse, Response};
use axum::routing::get;
use axum::{Json, Router};
use metrics_exporter_prometheus::PrometheusHandle;
use serde_json::json;
use tokio::sync::watch;

pub use client::{Answer, fetch, is_of_a_daemon};
pub use counts::Counts;
pub(crate) use counts::open_conflicts;
pub use health::Health;

use crate::admin::Admin;
use crate::error::{Error, Result};
use crate::status::Status;

/// How often histogram samples are folded into their buckets. Without it they pile up in memory while
/// nobody asks for `/metrics` (P13).
const UPKEEP: Duration = Duration::from_secs(5);

/// How long open requests may take after the shutdown began, so that a slow reader cannot hold the daemon.
const DRAIN: Duration = Duration::from_secs(2);

const PATHS: &str = "/metrics, /livez, /readyz, /status";

struct Endpoint {
    health: Arc<Health>,
    prometheus: PrometheusHandle,
    counts: Option<Arc<Counts>>,
    /// What who asks for more than the probes must present.
    token: Option<String>,
}

impl Endpoint {
    async fn refresh(&self) {
        if let Some(counts) = &self.counts {
            counts.refresh(&self.health).await;
        }
    }
}

/// Takes the port. Apart from [`serve`], so that a port that is taken stops the daemon before it works.
///
/// # Errors
/// [`Error::Refused`] where the address cannot be had.
pub fn bind(listen: SocketAddr) -> Result<TcpListener> {
    TcpListener::bind(listen).map_err(|error| {
        Error::refused(
            format!("cannot listen on {listen}: {error}"),
            "stop what listens there, or set another address under [http] listen or in \
             TRIBUTARY_HTTP_LISTEN",
        )
    })
}

/// Answers requests until `shutdown` ends, then gives open requests two seconds. Without `counts` the open
/// conflicts are those that [`Health`] was given; without `admin` there is no operators' page.
///
/// # Errors
/// Those of the listening socket.
pub async fn serve(
    listener: TcpListener,
    health: Arc<Health>,
    prometheus: PrometheusHandle,
    counts: Option<Arc<Counts>>,
    token: Option<String>,
    admin: Option<Arc<Admin>>,
    shutdown: impl Future<Output = ()> + Send + 'static,
) -> Result<()> {
    let failed = |error| Error::failed("the HTTP endpoint", error);
    listener.set_nonblocking(true).map_err(failed)?;
    let listener = tokio::net::TcpListener::from_std(listener).map_err(failed)?;
    let (stop, mut stopped) = watch::channel(false);
    let upkeep = prometheus.clone();
    let endpoint = Endpoint { health, prometheus, counts, token };
    let mut router = router(endpoint);
    if let Some(admin) = admin {
        router = router.merge(crate::admin::router(admin));
    }
    let server = server::serve(listener, router, server::Limits::default(), async move {
        // An error means that the sender is gone, which is a stop as well.
        let _ = stopped.wait_for(|stop| *stop).await;
    });
    let watchdog = async {
        let mut beat = tokio::time::interval(UPKEEP);
        tokio::pin!(shutdown);
        loop {
            tokio::select! {
                () = &mut shutdown => break,
                _ = beat.tick() => upkeep.run_upkeep(),
            }
        }
        stop.send_replace(true);
        tokio::time::sleep(DRAIN).await;
    };
    tokio::select! {
        () = server => Ok(()),
        () = watchdog => Ok(()),
    }
}

/// The probes are never guarded (SPEC §9): an orchestrator that may not ask would restart a daemon that works.
fn router(endpoint: Endpoint) -> Router {
    let endpoint = Arc::new(endpoint);
    let guard = middleware::from_fn_with_state(Arc::clone(&endpoint), guard);
    Router::new()
        .route("/metrics", get(metrics))
        .route("/status", get(status))
        .route_layer(guard)
        .route("/livez", get(livez))
        .route("/readyz", get(readyz))
        .fallback(async || {
            let body = json!({"error": format!("no such path; there are {PATHS}")});
            (StatusCode::NOT_FOUND, Json(body))
        })
        .with_state(endpoint)
}

/// Lets those through who present the token, where there is one.
async fn guard(State(endpoint): State<Arc<Endpoint>>, request: Request, next: Next) -> Response {
    let Some(token) = &endpoint.token else { return next.run(request).await };
    let presented = request.headers().get(header::AUTHORIZATION);
    let presented = presented.and_then(|value| value.as_bytes().strip_prefix(b"Bearer "));
    if presented.is_some_and(|presented| is_equal(presented, token.as_bytes())) {
        return next.run(request).await;
    }
    let body =
        json!({"error": "the token of [http] token_file is needed: Authorization: Bearer …"});
    let scheme = [(header::WWW_AUTHENTICATE, "Bearer")];
    (StatusCode::UNAUTHORIZED, scheme, Json(body)).into_response()
}

/// Compares in a time that does not say how much is equal.
fn is_equal(presented: &[u8], token: &[u8]) -> bool {
    let differing = presented.iter().zip(token).fold(0, |all, (a, b)| all | (a ^ b));
    presented.len() == token.len() && differing == 0
}

async fn metrics(State(endpoint): State<Arc<Endpoint>>) -> Response {
    endpoint.refresh().await;
    crate::metrics::collect_process();
    let kind = [(header::CONTENT_TYPE, "text/plain; version=0.0.4; charset=utf-8")];
    (kind, endpoint.prometheus.render()).into_response()
}

async fn livez(State(endpoint): State<Arc<Endpoint>>) -> Response {
    verdict(endpoint.health.dead_because(), &endpoint.health.status())
}

/// With `?standby=1` a daemon that waits is ready while the one that it waits for makes progress (SPEC §9).
async fn readyz(State(endpoint): State<Arc<Endpoint>>, RawQuery(query): RawQuery) -> Response {
    let standby = query.is_some_and(|query| query.split('&').any(|pair| pair == "standby=1"));
    verdict(endpoint.health.unready_because(standby), &endpoint.health.status())
}

async fn status(State(endpoint): State<Arc<Endpoint>>) -> Json<Status> {
    endpoint.refresh().await;
    Json(endpoint.health.status())
}

fn verdict(complaint: Option<String>, status: &Status) -> Response {
    let code = if complaint.is_none() { StatusCode::OK } else { StatusCode::SERVICE_UNAVAILABLE };
    let body = json!({"ok": complaint.is_none(), "phase": status.phase, "reason": complaint});
    (code, Json(body)).into_response()
}

#[cfg(test)]
mod tests;
