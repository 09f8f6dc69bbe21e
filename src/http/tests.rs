//! Over a real socket.

use jiff::Timestamp;
use metrics_exporter_prometheus::PrometheusBuilder;

use super::*;
use crate::lsn::Lsn;
use crate::status::Phase;

/// A daemon's endpoint on a free port, and what stops it.
async fn endpoint(
    health: &Arc<Health>,
    token: Option<&'static str>,
) -> (SocketAddr, tokio::sync::oneshot::Sender<()>, tokio::task::JoinHandle<Result<()>>) {
    let listener = bind("127.0.0.1:0".parse().unwrap()).unwrap();
    let address = listener.local_addr().unwrap();
    let prometheus = PrometheusBuilder::new().build_recorder().handle();
    let (stop, stopped) = tokio::sync::oneshot::channel::<()>();
    let shutdown = async move {
        let _ = stopped.await;
    };
    let server = tokio::spawn(serve(
        listener,
        Arc::clone(health),
        prometheus,
        None,
        token.map(str::to_owned),
        None,
        shutdown,
    ));
    (address, stop, server)
}

fn health(bound: Duration) -> Arc<Health> {
    Arc::new(Health::new("tributary", Timestamp::UNIX_EPOCH, bound))
}

#[tokio::test]
async fn tells_whether_the_daemon_is_alive_and_ready() {
    let health = health(Duration::from_secs(60));
    let (address, stop, server) = endpoint(&health, None).await;
    let check = async |path: &str, code: u16, part: &str| {
        let answer = fetch(address, path, None).await.unwrap();
        assert_eq!(answer.code, code, "{path}: {}", answer.body);
        assert!(answer.body.contains(part), "{path}: {}", answer.body);
    };
    check("/livez", 200, "\"phase\":\"starting\"").await;
    check("/readyz", 503, "the daemon is starting").await;
    health.set_phase(Phase::WaitingForLock);
    check("/readyz?standby=1", 503, "not looked at yet").await;
    health.set_holder_stands_still(None);
    check("/readyz?x=2&standby=1", 200, "\"phase\":\"waiting_for_lock\"").await;
    check("/readyz?standby=0", 503, "another daemon works").await;
    health.set_phase(Phase::Streaming);
    health.set_checkpoint(Lsn(0x10));
    check("/readyz", 200, "\"ok\":true").await;
    check("/status", 200, "\"checkpoint_lsn\":\"0/10\"").await;
    check("/metrics", 200, "").await;
    check("/nothing", 404, "/readyz").await;
    // P9: halted is unready, yet alive.
    health.set_halted(Some("accept the delete".into()));
    check("/readyz", 503, "accept the delete").await;
    check("/livez", 200, "\"phase\":\"halted\"").await;
    stop.send(()).unwrap();
    server.await.unwrap().unwrap();
    assert_eq!(fetch(address, "/livez", None).await.unwrap_err().exit_code(), 69);
}

/// SPEC §9: a token never guards the probes.
#[tokio::test]
async fn a_token_guards_all_but_the_probes() {
    let health = health(Duration::from_secs(60));
    let token = "a-token-of-20-signs!";
    let (address, _stop, _server) = endpoint(&health, Some(token)).await;
    for (path, presented, code) in [
        ("/metrics", None, 401),
        ("/status", None, 401),
        ("/status", Some("a-token-of-20-signs"), 401),
        ("/status", Some("a-token-of-20-signs?"), 401),
        ("/status", Some(token), 200),
        ("/metrics", Some(token), 200),
        ("/livez", None, 200),
        ("/readyz", None, 503),
        ("/readyz?standby=1", None, 503),
    ] {
        let answer = fetch(address, path, presented).await.unwrap();
        assert_eq!(answer.code, code, "{path} {presented:?}: {}", answer.body);
        assert!(!answer.body.contains(token));
    }
}

#[tokio::test]
async fn a_silent_main_loop_is_not_alive() {
    let health = health(Duration::ZERO);
    let (address, _stop, _server) = endpoint(&health, None).await;
    tokio::time::sleep(Duration::from_millis(5)).await;
    let answer = fetch(address, "/livez", None).await.unwrap();
    assert_eq!(answer.code, 503, "{}", answer.body);
}

#[tokio::test]
async fn a_port_that_is_taken_names_the_setting() {
    let taken = bind("127.0.0.1:0".parse().unwrap()).unwrap();
    let error = bind(taken.local_addr().unwrap()).unwrap_err();
    assert_eq!(error.exit_code(), 1);
    assert!(error.to_string().contains("TRIBUTARY_HTTP_LISTEN"), "{error}");
}
