//! The sockets of the endpoint. What a connection may take is bounded before anybody is authenticated: how many there are, how large and
//! how slow a request is (P13). Otherwise whoever reaches the port could take the memory and the files of a daemon that works.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use axum::body::{Body, HttpBody as _, to_bytes};
use axum::extract::{ConnectInfo, Extension, Request, State};
use axum::http::StatusCode;
use axum::middleware::{self, Next};
use axum::response::{IntoResponse as _, Response};
use hyper::server::conn::http1;
use hyper_util::rt::{TokioIo, TokioTimer};
use hyper_util::server::graceful::GracefulShutdown;
use hyper_util::service::TowerToHyperService;
use tokio::net::TcpListener;
use tokio::sync::Semaphore;
use tokio_io_timeout::TimeoutStream;

use crate::admin::LARGEST_FORM;

/// What connections may take.
#[derive(Debug, Clone, Copy)]
pub(super) struct Limits {
    /// How many there are. Another one waits.
    pub(super) connections: usize,
    /// How long a request may be on its way, the head and the body each; how long an answer may wait to be taken; and how long a
    /// connection may be idle.
    pub(super) patience: Duration,
}

impl Default for Limits {
    fn default() -> Self {
        Self { connections: 64, patience: Duration::from_secs(10) }
    }
}

/// Bytes of a head; also what is read at once.
const LARGEST_HEAD: usize = 32 * 1024;
/// How long nothing is accepted where that failed: there may be no descriptor left.
const ACCEPT_AGAIN: Duration = Duration::from_secs(1);

/// Answers until `stopped`, then waits for the requests that are open.
pub(super) async fn serve(
    listener: TcpListener,
    router: Router,
    limits: Limits,
    stopped: impl Future<Output = ()>,
) {
    let mut http = http1::Builder::new();
    http.timer(TokioTimer::new()).header_read_timeout(limits.patience).max_buf_size(LARGEST_HEAD);
    let router = router.layer(middleware::from_fn_with_state(limits, read_body));
    let open = GracefulShutdown::new();
    let room = Arc::new(Semaphore::new(limits.connections));
    tokio::pin!(stopped);
    loop {
        let accepted = async {
            let place = Arc::clone(&room).acquire_owned().await;
            (place, listener.accept().await)
        };
        let (place, accepted) = tokio::select! {
            biased;
            () = &mut stopped => break,
            accepted = accepted => accepted,
        };
        let (stream, peer) = match accepted {
            Ok(accepted) => accepted,
            Err(error) => {
                tracing::debug!(%error, "a connection to the endpoint cannot be accepted");
                tokio::time::sleep(ACCEPT_AGAIN).await;
                continue;
            }
        };
        let router = router.clone().layer(Extension(ConnectInfo::<SocketAddr>(peer)));
        let service = TowerToHyperService::new(router);
        let mut stream = TimeoutStream::new(stream);
        stream.set_write_timeout(Some(limits.patience));
        let stream = TokioIo::new(Box::pin(stream));
        let connection = open.watch(http.serve_connection(stream, service));
        tokio::spawn(async move {
            if let Err(error) = connection.await {
                tracing::debug!(%error, "a connection to the endpoint ended");
            }
            drop(place);
        });
    }
    drop(listener);
    open.shutdown().await;
}

/// Reads the body, which must come in time.
async fn read_body(State(limits): State<Limits>, request: Request, next: Next) -> Response {
    if request.body().is_end_stream() {
        return next.run(request).await;
    }
    let (parts, body) = request.into_parts();
    match tokio::time::timeout(limits.patience, to_bytes(body, LARGEST_FORM)).await {
        Ok(Ok(bytes)) => next.run(Request::from_parts(parts, Body::from(bytes))).await,
        Ok(Err(_)) => StatusCode::PAYLOAD_TOO_LARGE.into_response(),
        Err(_) => StatusCode::REQUEST_TIMEOUT.into_response(),
    }
}

#[cfg(test)]
mod tests {
    use axum::routing::{get, post};
    use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
    use tokio::net::TcpStream;

    use super::*;

    async fn answer(to: SocketAddr, request: &str) -> String {
        let mut stream = TcpStream::connect(to).await.unwrap();
        stream.write_all(request.as_bytes()).await.unwrap();
        let mut text = String::new();
        stream.read_to_string(&mut text).await.unwrap();
        text
    }

    #[tokio::test]
    async fn those_who_send_nothing_or_too_much_make_room_for_others() {
        let limits = Limits { connections: 2, patience: Duration::from_millis(100) };
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let to = listener.local_addr().unwrap();
        let peer = async |ConnectInfo(peer): ConnectInfo<SocketAddr>| peer.ip().to_string();
        let router = Router::new()
            .route("/peer", get(peer))
            .route("/large", get(async || vec![0_u8; 32 << 20]))
            .route("/form", post(async |body: String| body));
        let (stop, stopped) = tokio::sync::oneshot::channel::<()>();
        let served = tokio::spawn(serve(listener, router, limits, async {
            let _ = stopped.await;
        }));
        let silent = TcpStream::connect(to).await.unwrap();
        let mut slow = TcpStream::connect(to).await.unwrap();
        slow.write_all(b"GET /peer HTTP/1.1\r\nHost: x\r\nX-").await.unwrap();
        // Waits until one of them has to leave.
        let text = answer(to, "GET /peer HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n").await;
        assert!(text.starts_with("HTTP/1.1 200") && text.ends_with("127.0.0.1"), "{text}");
        let form = "POST /form HTTP/1.1\r\nHost: x\r\nConnection: close\r\nContent-Length: ";
        let text = answer(to, &format!("{form}2\r\n\r\nab")).await;
        assert!(text.ends_with("ab"), "{text}");
        let text = answer(to, &format!("{form}2\r\n\r\na")).await;
        assert!(text.starts_with("HTTP/1.1 408"), "{text}");
        let text = answer(to, &format!("{form}300000\r\n\r\n")).await;
        assert!(text.starts_with("HTTP/1.1 4"), "{text}");
        let head = "x".repeat(100_000);
        let mut large = TcpStream::connect(to).await.unwrap();
        let _ = large.write_all(format!("GET /{head} HTTP/1.1\r\n").as_bytes()).await;
        let mut text = Vec::new();
        let _ = large.read_to_end(&mut text).await;
        let text = String::from_utf8_lossy(&text).into_owned();
        assert!(text.is_empty() || text.starts_with("HTTP/1.1 4"), "{text}");
        // Answers that nobody takes.
        let mut deaf = Vec::new();
        for _ in 0..limits.connections {
            let mut stream = TcpStream::connect(to).await.unwrap();
            stream.write_all(b"GET /large HTTP/1.1\r\nHost: x\r\n\r\n").await.unwrap();
            deaf.push(stream);
        }
        let text = answer(to, "GET /peer HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n").await;
        assert!(text.starts_with("HTTP/1.1 200"), "{text}");
        drop((silent, slow));
        stop.send(()).unwrap();
        served.await.unwrap();
    }
}
