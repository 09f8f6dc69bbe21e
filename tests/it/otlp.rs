//! Traces over OTLP, in builds with that feature: `cargo test --features otlp --test it -- otlp`.

use std::sync::{Arc, Mutex};
use std::time::Duration;

use serde_json::Value;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};

use crate::support::daemon::Daemon;
use crate::support::eventually;
use crate::support::world::World;

/// A collector on the loopback, which keeps what it is sent.
struct Collector {
    address: String,
    requests: Arc<Mutex<Vec<(String, Value)>>>,
}

impl Collector {
    async fn start() -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = format!("http://{}", listener.local_addr().unwrap());
        let requests = Arc::new(Mutex::new(Vec::new()));
        let kept = Arc::clone(&requests);
        tokio::spawn(async move {
            while let Ok((stream, _)) = listener.accept().await {
                tokio::spawn(serve(stream, Arc::clone(&kept)));
            }
        });
        Self { address, requests }
    }

    fn spans(&self) -> Vec<Value> {
        let requests = self.requests.lock().unwrap();
        let lists = requests.iter().flat_map(|(_, body)| {
            let scopes = body["resourceSpans"].as_array().cloned().unwrap_or_default();
            scopes
                .into_iter()
                .flat_map(|resource| resource["scopeSpans"].as_array().cloned().unwrap_or_default())
        });
        lists.flat_map(|scope| scope["spans"].as_array().cloned().unwrap_or_default()).collect()
    }
}

/// Answers requests of one connection.
async fn serve(mut stream: TcpStream, kept: Arc<Mutex<Vec<(String, Value)>>>) {
    let mut read = Vec::new();
    let mut buffer = vec![0; 65536];
    while let Ok(bytes) = stream.read(&mut buffer).await {
        if bytes == 0 {
            return;
        }
        read.extend_from_slice(&buffer[..bytes]);
        let Some(end) = read.windows(4).position(|four| four == b"\r\n\r\n") else { continue };
        let head = String::from_utf8_lossy(&read[..end]).to_lowercase();
        let length = head.lines().find_map(|line| line.strip_prefix("content-length: "));
        let length: usize = length.expect("a length").parse().unwrap();
        if read.len() < end + 4 + length {
            continue;
        }
        let body = serde_json::from_slice(&read[end + 4..end + 4 + length]).unwrap();
        kept.lock().unwrap().push((head.lines().next().unwrap().to_owned(), body));
        read.drain(..end + 4 + length);
        let answer =
            "HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: 2\r\n\r\n{}";
        stream.write_all(answer.as_bytes()).await.unwrap();
    }
}

fn nanos(span: &Value, key: &str) -> u64 {
    span[key].as_str().map_or_else(|| span[key].as_u64().unwrap(), |text| text.parse().unwrap())
}

#[tokio::test(flavor = "multi_thread")]
async fn spans_from_source_commit_to_target_commit_reach_a_collector() {
    let collector = Collector::start().await;
    let world = World::canonical("select 1").await;
    let variables = [
        ("OTEL_EXPORTER_OTLP_ENDPOINT", collector.address.as_str()),
        ("OTEL_EXPORTER_OTLP_PROTOCOL", "http/json"),
        ("OTEL_BSP_SCHEDULE_DELAY", "200"),
    ];
    let mut daemon = Daemon::start_with(&world, &variables);
    daemon.wait_for_phase("streaming").await;
    let before = std::time::SystemTime::UNIX_EPOCH.elapsed().unwrap();
    let row = "insert into systemeio (id, contact_id, email) values (gen_random_uuid(), 'c1', 'ana@example.com')";
    world.source.execute(row).await;
    daemon.wait_until_caught_up(&world).await;
    let is_there = || async { collector.spans().iter().any(|span| span["name"] == "batch") };
    eventually("a trace", || daemon.log(), is_there).await;

    let spans = collector.spans();
    let whole = spans.iter().find(|span| span["name"] == "batch").unwrap();
    let (from, to) = (nanos(whole, "startTimeUnixNano"), nanos(whole, "endTimeUnixNano"));
    let after = std::time::SystemTime::UNIX_EPOCH.elapsed().unwrap();
    assert!(before < Duration::from_nanos(from) && from < to, "{whole}");
    assert!(Duration::from_nanos(to) < after, "{whole}");
    let attributes = whole["attributes"].to_string();
    for part in [world.slot.as_str(), "tributary.rows", "streaming"] {
        assert!(attributes.contains(part), "{part}: {attributes}");
    }
    let children: Vec<&Value> =
        spans.iter().filter(|span| span["parentSpanId"] == whole["spanId"]).collect();
    for stage in ["decode", "fetch", "decide", "write", "commit"] {
        let child = children.iter().find(|span| span["name"] == stage);
        let child = child.unwrap_or_else(|| panic!("{stage}: {spans:?}"));
        assert_eq!(child["traceId"], whole["traceId"]);
        let (begin, end) = (nanos(child, "startTimeUnixNano"), nanos(child, "endTimeUnixNano"));
        // What a server's clock cuts off is below a microsecond.
        assert!(from <= begin + 1_000 && begin <= end && end <= to, "{stage}: {child} in {whole}");
    }
    let requests = collector.requests.lock().unwrap().clone();
    let sent: Vec<String> = requests.iter().map(|(head, body)| format!("{head} {body}")).collect();
    assert!(sent[0].starts_with("post /v1/traces"), "{}", sent[0]);
    assert!(sent[0].contains("\"tributary\""), "{}", sent[0]);
    assert!(!sent.iter().any(|text| text.contains("example.com")), "P14");
    assert_eq!(daemon.terminate().await.code(), Some(0));
}
