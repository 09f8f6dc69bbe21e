//! A proxy in front of a server that counts what each transaction of a session takes: statements and sequential round
//! trips.

use std::collections::HashMap;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpListener, TcpStream};
use tokio::task::JoinSet;

/// What one transaction took.
#[derive(Debug, Clone, Default)]
pub(crate) struct Cost {
    /// Statements, `begin` and `commit` among them; those of one simple query count as one.
    pub(crate) statements: usize,
    /// How often something was sent after the server had answered.
    pub(crate) round_trips: usize,
    writes_rows: bool,
}

#[derive(Default)]
struct Session {
    /// Statements by name.
    prepared: HashMap<String, String>,
    current: Option<Cost>,
    was_answered: bool,
}

/// Listens on a port of its own until it is dropped.
pub(crate) struct CountingProxy {
    port: u16,
    costs: Arc<Mutex<Vec<Cost>>>,
    _tasks: JoinSet<()>,
}

impl CountingProxy {
    pub(crate) async fn before(server: u16) -> Self {
        let listener = TcpListener::bind(("127.0.0.1", 0)).await.unwrap();
        let port = listener.local_addr().unwrap().port();
        let costs = Arc::new(Mutex::new(Vec::new()));
        let mut tasks = JoinSet::new();
        let of_sessions = Arc::clone(&costs);
        tasks.spawn(async move {
            let mut sessions = JoinSet::new();
            while let Ok((client, _)) = listener.accept().await {
                let server = TcpStream::connect(("127.0.0.1", server)).await.unwrap();
                sessions.spawn(relay(client, server, Arc::clone(&of_sessions)));
            }
        });
        Self { port, costs, _tasks: tasks }
    }

    /// A URL of the server behind, through this proxy.
    pub(crate) fn url(&self, url: &str, server: u16) -> String {
        url.replace(&format!(":{server}/"), &format!(":{}/", self.port))
    }

    /// The transactions since the last call that wrote source rows.
    pub(crate) fn take(&self) -> Vec<Cost> {
        let mut costs = std::mem::take(&mut *self.costs.lock().unwrap());
        costs.retain(|cost| cost.writes_rows);
        costs
    }
}

/// The distance of the server. What is sent together is then under way before the first answer is back, however the
/// processes are scheduled.
const LATENCY: Duration = Duration::from_millis(3);

async fn relay(client: TcpStream, server: TcpStream, costs: Arc<Mutex<Vec<Cost>>>) {
    // Small packets would wait for each other's acknowledgement.
    client.set_nodelay(true).unwrap();
    server.set_nodelay(true).unwrap();
    let session = Arc::new(Mutex::new(Session::default()));
    let (mut from_client, mut to_client) = client.into_split();
    let (mut from_server, mut to_server) = server.into_split();
    let sent = Arc::clone(&session);
    let upwards = async move {
        let mut buffer = vec![0; 64 << 10];
        let mut pending: Vec<u8> = Vec::new();
        let mut has_started = false;
        while let Ok(read @ 1..) = from_client.read(&mut buffer).await {
            pending.extend_from_slice(&buffer[..read]);
            sent.lock().unwrap().sent(&mut pending, &mut has_started, &costs);
            if to_server.write_all(&buffer[..read]).await.is_err() {
                break;
            }
        }
    };
    let downwards = async move {
        let mut buffer = vec![0; 64 << 10];
        while let Ok(read @ 1..) = from_server.read(&mut buffer).await {
            tokio::time::sleep(LATENCY).await;
            session.lock().unwrap().was_answered = true;
            if to_client.write_all(&buffer[..read]).await.is_err() {
                break;
            }
        }
    };
    tokio::join!(upwards, downwards);
}

impl Session {
    /// Takes the whole messages out of what a client has sent.
    fn sent(&mut self, pending: &mut Vec<u8>, has_started: &mut bool, costs: &Mutex<Vec<Cost>>) {
        let was_answered = std::mem::take(&mut self.was_answered);
        let mut counts_trip = was_answered;
        loop {
            // The first message has no type.
            let kind = usize::from(*has_started);
            let Some(length) = pending.get(kind..kind + 4) else { return };
            let length = u32::from_be_bytes(length.try_into().unwrap()) as usize + kind;
            if pending.len() < length {
                return;
            }
            let message: Vec<u8> = pending.drain(..length).collect();
            if std::mem::replace(has_started, true) {
                self.message(message[0], &message[5..], &mut counts_trip, costs);
            }
        }
    }

    fn message(&mut self, kind: u8, body: &[u8], counts_trip: &mut bool, costs: &Mutex<Vec<Cost>>) {
        let mut texts = body.split(|byte| *byte == 0).map(String::from_utf8_lossy);
        let mut text = || texts.next().unwrap_or_default().into_owned();
        let statement = match kind {
            b'P' => {
                let (name, sql) = (text(), text());
                self.prepared.insert(name, sql);
                None
            }
            b'Q' => Some(text()),
            // Bind: the portal, then the statement.
            b'B' => {
                let _portal = text();
                self.prepared.get(&text()).cloned()
            }
            _ => None,
        };
        let is = |word: &str| statement.as_ref().is_some_and(|sql| sql.contains(word));
        if kind == b'Q' && is("begin") {
            self.current = Some(Cost::default());
            *counts_trip = true;
        }
        let Some(cost) = self.current.as_mut() else { return };
        if std::mem::take(counts_trip) {
            cost.round_trips += 1;
        }
        cost.statements += usize::from(statement.is_some());
        cost.writes_rows |= is("tributary.source_row") && (is("insert") || is("update"));
        if kind == b'Q' && is("commit") {
            costs.lock().unwrap().extend(self.current.take());
        }
    }
}
