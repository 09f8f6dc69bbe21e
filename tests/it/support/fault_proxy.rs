//! A proxy in front of a server that loses one COMMIT or the reply to it, or is slow.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU8, Ordering};
use std::time::Duration;

use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpListener, TcpStream};
use tokio::task::JoinSet;

/// What the proxy does.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[repr(u8)]
pub(crate) enum Fault {
    /// Nothing.
    None,
    /// The next COMMIT is carried out, and the connection ends in place of the reply.
    LoseReply,
    /// The connection ends in place of the next COMMIT.
    LoseRequest,
    /// Everything takes its time.
    Slow,
}

/// How long what is slow takes, in each direction.
const SLOW: Duration = Duration::from_millis(120);

/// Listens on a port of its own until it is dropped.
pub(crate) struct FaultProxy {
    port: u16,
    fault: Arc<AtomicU8>,
    _tasks: JoinSet<()>,
}

impl FaultProxy {
    pub(crate) async fn before(server: u16) -> Self {
        let listener = TcpListener::bind(("127.0.0.1", 0)).await.unwrap();
        let port = listener.local_addr().unwrap().port();
        let fault = Arc::new(AtomicU8::new(Fault::None as u8));
        let mut tasks = JoinSet::new();
        let of_sessions = Arc::clone(&fault);
        tasks.spawn(async move {
            let mut sessions = JoinSet::new();
            while let Ok((client, _)) = listener.accept().await {
                sessions.spawn(relay(client, server, Arc::clone(&of_sessions)));
            }
        });
        Self { port, fault, _tasks: tasks }
    }

    /// A URL of the server behind, through this proxy.
    pub(crate) fn url(&self, url: &str, server: u16) -> String {
        url.replace(&format!(":{server}/"), &format!(":{}/", self.port))
    }

    pub(crate) fn set(&self, fault: Fault) {
        self.fault.store(fault as u8, Ordering::SeqCst);
    }

    /// Whether the fault is over: those that are about one COMMIT are made once.
    pub(crate) fn is_over(&self) -> bool {
        self.fault.load(Ordering::SeqCst) == Fault::None as u8
    }
}

/// Both directions end with the first one.
async fn relay(client: TcpStream, server: u16, fault: Arc<AtomicU8>) {
    // A server that is away ends the connection.
    let Ok(server) = TcpStream::connect(("127.0.0.1", server)).await else { return };
    client.set_nodelay(true).unwrap();
    server.set_nodelay(true).unwrap();
    let (mut from_client, mut to_client) = client.into_split();
    let (mut from_server, mut to_server) = server.into_split();
    let is_lost = AtomicBool::new(false);
    let is = |wanted: Fault| fault.load(Ordering::SeqCst) == wanted as u8;
    let makes = |wanted: Fault| {
        let (from, to) = (wanted as u8, Fault::None as u8);
        fault.compare_exchange(from, to, Ordering::SeqCst, Ordering::SeqCst).is_ok()
    };
    let upwards = async {
        let mut buffer = vec![0; 64 << 10];
        while let Ok(read @ 1..) = from_client.read(&mut buffer).await {
            let sent = &buffer[..read];
            if is(Fault::Slow) {
                tokio::time::sleep(SLOW).await;
            }
            if is_commit(sent) {
                if makes(Fault::LoseRequest) {
                    return;
                }
                is_lost.fetch_or(makes(Fault::LoseReply), Ordering::SeqCst);
            }
            if to_server.write_all(sent).await.is_err() {
                return;
            }
        }
    };
    let downwards = async {
        let mut buffer = vec![0; 64 << 10];
        while let Ok(read @ 1..) = from_server.read(&mut buffer).await {
            if is(Fault::Slow) {
                tokio::time::sleep(SLOW).await;
            }
            if is_lost.load(Ordering::SeqCst) || to_client.write_all(&buffer[..read]).await.is_err()
            {
                return;
            }
        }
    };
    tokio::select! {
        () = upwards => {}
        () = downwards => {}
    }
}

/// Whether this is a simple query that commits.
fn is_commit(sent: &[u8]) -> bool {
    sent.first() == Some(&b'Q') && sent.get(5..) == Some(b"commit\0")
}
