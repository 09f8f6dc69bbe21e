//! Attacks, over a real socket. No database: what is attacked comes before one is asked.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use jiff::Timestamp;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};

use super::state::Admin;
use crate::config::tests::{URLS, parse};
use crate::http::Health;

const TOKENS: [(&str, &str); 2] =
    [("view", "view-0123456789abcdef"), ("operate", "operate-0123456789abcdef")];

struct Site {
    address: SocketAddr,
    admin: Arc<Admin>,
    health: Arc<Health>,
}

fn config(names: &[&str]) -> crate::config::Config {
    let folder = tempfile::tempdir().unwrap();
    let mut text = URLS.to_owned();
    for (role, token) in TOKENS.iter().filter(|(role, _)| names.contains(role)) {
        let file = folder.path().join(role);
        std::fs::write(&file, token).unwrap();
        text += &format!(
            "[admin.tokens.{role}]\nrole = {role:?}\ntoken_file = {:?}\n",
            file.display().to_string()
        );
    }
    parse(&text, &[]).unwrap()
}

async fn site() -> Site {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let health = Arc::new(Health::new("tributary", Timestamp::UNIX_EPOCH, Duration::from_secs(60)));
    let admin = Admin::new(&config(&["view", "operate"]), Arc::clone(&health), address).unwrap();
    let admin = Arc::new(admin);
    let router = super::router(Arc::clone(&admin));
    let service = router.into_make_service_with_connect_info::<SocketAddr>();
    tokio::spawn(axum::serve(listener, service).into_future());
    Site { address, admin, health }
}

impl Site {
    /// The whole answer. `headers` replaces that of the host where it has one.
    async fn send(&self, line: &str, headers: &str, body: &str) -> String {
        let host = if headers.contains("Host:") {
            String::new()
        } else {
            format!("Host: {}\r\n", self.address)
        };
        let length = body.len();
        let kind = "Content-Type: application/x-www-form-urlencoded";
        let request = format!(
            "{line} HTTP/1.1\r\n{host}{headers}{kind}\r\nContent-Length: {length}\r\nConnection: close\r\n\r\n{body}"
        );
        let mut stream = TcpStream::connect(self.address).await.unwrap();
        stream.write_all(request.as_bytes()).await.unwrap();
        let mut answer = String::new();
        stream.read_to_string(&mut answer).await.unwrap();
        answer
    }

    fn own(&self) -> String {
        format!("Origin: http://{}\r\nSec-Fetch-Site: same-origin\r\n", self.address)
    }

    /// The header with the cookie of a session.
    async fn log_in(&self, token: &str) -> String {
        let answer = self.send("POST /admin/login", &self.own(), &format!("token={token}")).await;
        assert!(answer.starts_with("HTTP/1.1 303"), "{answer}");
        let cookie = answer.lines().find_map(|line| line.strip_prefix("set-cookie: ")).unwrap();
        assert!(cookie.contains("HttpOnly") && cookie.contains("SameSite=Strict"), "{cookie}");
        format!("Cookie: {}\r\n", cookie.split(';').next().unwrap())
    }
}

#[track_caller]
fn has(answer: &str, code: u16) {
    assert!(answer.starts_with(&format!("HTTP/1.1 {code} ")), "expected {code}: {answer}");
}

#[tokio::test]
async fn attacks_are_refused() {
    let site = site().await;
    let (own, view) = (site.own(), site.log_in(TOKENS[0].1).await);
    let operate = site.log_in(TOKENS[1].1).await;
    // Nobody sees anything without a session, and every answer carries the policy.
    for path in ["/admin", "/admin/log.csv", "/admin/control", "/admin/nothing"] {
        let answer = site.send(&format!("GET {path}"), "", "").await;
        has(&answer, 303);
        assert!(answer.contains("default-src 'none'") && answer.contains("no-store"), "{answer}");
    }
    // A name that somebody else made to point here.
    has(&site.send("GET /admin/login", "Host: evil.example.com\r\n", "").await, 421);
    // A form of another site, though the cookie came along.
    for foreign in [
        "Origin: https://evil.example.com\r\n",
        "Origin: null\r\n",
        "",
        "Sec-Fetch-Site: cross-site\r\n",
        "Sec-Fetch-Site: same-site\r\n",
        &format!("Origin: http://{}\r\nSec-Fetch-Site: cross-site\r\n", site.address),
    ] {
        let answer =
            site.send("POST /admin/control", &format!("{operate}{foreign}"), "what=x").await;
        has(&answer, 403);
    }
    // The server refuses the role, whatever the page shows; with the role the form is read.
    has(&site.send("POST /admin/control", &format!("{view}{own}"), "what=rebuild").await, 403);
    let answer = site.send("POST /admin/control", &format!("{operate}{own}"), "what=accept").await;
    has(&answer, 200);
    assert!(answer.contains("type the word accept"), "{answer}");
    // What is shown is text, not markup.
    site.health.set_halted(Some("<script>alert(1)</script>".into()));
    let answer = site.send("GET /admin/control", &view, "").await;
    has(&answer, 200);
    assert!(!answer.contains("<script>alert") && answer.contains("alert(1)"), "{answer}");
    assert!(!answer.contains("<button name=\"what\""), "a control for who may not: {answer}");
    // A cookie that was copied is worth nothing after the log-out.
    has(&site.send("POST /admin/logout", &format!("{view}{own}"), "").await, 303);
    has(&site.send("GET /admin/control", &view, "").await, 303);
    // Nor after a reload that takes the token away.
    has(&site.send("GET /admin/control", &operate, "").await, 200);
    site.admin.reconfigure(&config(&["view"])).unwrap();
    has(&site.send("GET /admin/control", &operate, "").await, 303);
    // Guesses are few.
    for attempt in 0..6 {
        let answer = site.send("POST /admin/login", &own, "token=a-guess-of-a-token").await;
        has(&answer, if attempt < 5 { 401 } else { 429 });
    }
    site.admin.reconfigure(&config(&[])).unwrap();
    has(&site.send("GET /admin/login", "", "").await, 404);
}
