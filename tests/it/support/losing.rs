//! A proxy in front of a server that loses the reply to a COMMIT, or the COMMIT itself, or is slow.

use std::sync::Arc;
use std::sync::atomic::{AtomicU8, Ordering};
use std::time::Duration;

use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpListener, TcpStream};
use tokio::task::JoinSet;

/// What the proxy does to the next COMMIT, or to everything.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[repr(u8)]
pub(crate) enum Loss {
    /// Nothing.
    Nothing,
    /// It is carried out, and the connection ends before the reply.
    Reply,
    /// The connection ends before the server has it.
    Commit,
    /// Everything takes 30 ms more, until another loss is set.
    Slow,
}

impl Loss {
    fn of(code: u8) -> Self {
        let all = [Self::Nothing, Self::Reply, Self::Commit, Self::Slow];
        all.into_iter().find(|loss| *loss as u8 == code).unwrap_or(Self::Nothing)
    }
}

/// Listens on a port of its own until it is dropped.
pub(crate) struct LosingProxy {
    port: u16,
    next: Arc<AtomicU8>,
    _tasks: JoinSet<()>,
}

impl LosingProxy {
    pub(crate) async fn before(server: u16) -> Self {
        let listener = TcpListener::bind(("127.0.0.1", 0)).await.unwrap();
        let port = listener.local_addr().unwrap().port();
        let next = Arc::new(AtomicU8::new(Loss::Nothing as u8));
        let mut tasks = JoinSet::new();
        let of_sessions = Arc::clone(&next);
        tasks.spawn(async move {
            let mut sessions = JoinSet::new();
            while let Ok((client, _)) = listener.accept().await {
                // A server that is away ends the connection, as it does without a proxy.
                let Ok(server) = TcpStream::connect(("127.0.0.1", server)).await else { continue };
                sessions.spawn(relay(client, server, Arc::clone(&of_sessions)));
            }
        });
        Self { port, next, _tasks: tasks }
    }

    /// A URL of the server behind, through this proxy.
    pub(crate) fn url(&self, url: &str, server: u16) -> String {
        url.replace(&format!(":{server}/"), &format!(":{}/", self.port))
    }

    pub(crate) fn set(&self, loss: Loss) {
        self.next.store(loss as u8, Ordering::SeqCst);
    }

    /// Whether what was set last has happened.
    pub(crate) fn has_happened(&self) -> bool {
        self.next.load(Ordering::SeqCst) == Loss::Nothing as u8
    }
}

/// A whole COMMIT, as a message of its own at the end of what was sent. The daemon waits for the replies to everything
/// before it sends one.
const COMMIT: &[u8] = b"Q\0\0\0\x0bcommit\0";

async fn relay(client: TcpStream, server: TcpStream, next: Arc<AtomicU8>) {
    let (mut from_client, mut to_client) = client.into_split();
    let (mut from_server, mut to_server) = server.into_split();
    let (mut sent, mut answered) = (vec![0; 64 << 10], vec![0; 64 << 10]);
    loop {
        tokio::select! {
            read = from_client.read(&mut sent) => {
                let Ok(read @ 1..) = read else { return };
                let loss = Loss::of(next.load(Ordering::SeqCst));
                if loss == Loss::Slow {
                    tokio::time::sleep(Duration::from_millis(30)).await;
                }
                let is_lost = matches!(loss, Loss::Reply | Loss::Commit) && sent[..read].ends_with(COMMIT);
                let takes = |loss| next.compare_exchange(loss as u8, Loss::Nothing as u8, Ordering::SeqCst, Ordering::SeqCst);
                if is_lost && loss == Loss::Commit && takes(loss).is_ok() {
                    return;
                }
                if to_server.write_all(&sent[..read]).await.is_err() {
                    return;
                }
                if is_lost && loss == Loss::Reply && takes(loss).is_ok() {
                    // It is committed once the server answers.
                    let _ = from_server.read(&mut answered).await;
                    return;
                }
            }
            read = from_server.read(&mut answered) => {
                let Ok(read @ 1..) = read else { return };
                if to_client.write_all(&answered[..read]).await.is_err() {
                    return;
                }
            }
        }
    }
}
