//! The operators' page over plain HTTP, as a program or an attacker asks for it.

use serde_json::Value;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;

use super::world::{World, set};

/// An answer.
pub(crate) struct Answer {
    pub(crate) code: u16,
    pub(crate) head: String,
    pub(crate) body: String,
}

impl Answer {
    /// The value of a header; its name in lower case.
    pub(crate) fn header(&self, name: &str) -> Option<&str> {
        let lines = self.head.lines().filter_map(|line| line.split_once(": "));
        lines.filter(|(known, _)| known.eq_ignore_ascii_case(name)).map(|(_, value)| value).next()
    }

    /// Where it goes on.
    pub(crate) fn location(&self) -> &str {
        self.header("location").unwrap_or_default()
    }
}

/// Somebody who has logged in, or not yet.
#[derive(Clone)]
pub(crate) struct Site {
    port: u16,
    cookie: Option<String>,
}

/// The token of a role.
pub(crate) fn token(role: &str) -> String {
    format!("{role}-0123456789abcdef")
}

/// Turns the page on, for a holder of each role; the name of a holder is that of the role.
pub(crate) fn turn_on(world: &World, more: impl FnOnce(&mut toml::Table)) {
    let folder = world.config().parent().unwrap().to_owned();
    world.configure(|table| {
        let mut tokens = toml::Table::new();
        for role in ["view", "decide", "operate"] {
            let file = folder.join(format!("{role}.token"));
            std::fs::write(&file, token(role)).unwrap();
            let mut holder = toml::Table::new();
            holder.insert("role".into(), role.into());
            holder.insert("token_file".into(), file.display().to_string().into());
            tokens.insert(role.into(), holder.into());
        }
        set(table, "admin", "tokens", tokens);
        more(table);
    });
}

impl Site {
    /// Nobody yet.
    pub(crate) fn new(world: &World) -> Self {
        Self { port: world.http, cookie: None }
    }

    /// A holder of a role.
    pub(crate) async fn of(world: &World, role: &str) -> Self {
        let mut site = Self::new(world);
        let answer = site.post("/admin/login", &[("token", &token(role))]).await;
        assert_eq!(answer.code, 303, "{}", answer.body);
        let cookie = answer.header("set-cookie").unwrap();
        site.cookie = Some(cookie.split(';').next().unwrap().to_owned());
        site
    }

    pub(crate) fn address(&self) -> String {
        format!("127.0.0.1:{}", self.port)
    }

    /// Headers of a form that the page itself sends.
    fn own(&self) -> String {
        format!("Origin: http://{}\r\nSec-Fetch-Site: same-origin\r\n", self.address())
    }

    pub(crate) async fn get(&self, path: &str) -> Answer {
        self.send("GET", path, "", &[]).await
    }

    pub(crate) async fn post(&self, path: &str, form: &[(&str, &str)]) -> Answer {
        self.send("POST", path, &self.own(), form).await
    }

    /// With exactly these headers beside the cookie.
    pub(crate) async fn send(
        &self,
        method: &str,
        path: &str,
        headers: &str,
        form: &[(&str, &str)],
    ) -> Answer {
        let mut body = url::form_urlencoded::Serializer::new(String::new());
        body.extend_pairs(form);
        let body = body.finish();
        let host = if headers.contains("Host: ") {
            String::new()
        } else {
            format!("Host: {}\r\n", self.address())
        };
        let cookie =
            self.cookie.as_ref().map(|cookie| format!("Cookie: {cookie}\r\n")).unwrap_or_default();
        let request = format!(
            "{method} {path} HTTP/1.0\r\n{host}{cookie}{headers}Connection: close\r\n\
             Content-Type: application/x-www-form-urlencoded\r\nContent-Length: {}\r\n\r\n{body}",
            body.len()
        );
        let mut stream = TcpStream::connect(("127.0.0.1", self.port)).await.unwrap();
        stream.write_all(request.as_bytes()).await.unwrap();
        let mut bytes = Vec::new();
        stream.read_to_end(&mut bytes).await.unwrap();
        let text = String::from_utf8_lossy(&bytes);
        let (head, body) = text.split_once("\r\n\r\n").unwrap();
        let code = head.split(' ').nth(1).unwrap().parse().unwrap();
        Answer { code, head: head.to_owned(), body: body.to_owned() }
    }
}

/// The conflict of a kind, by the command line.
pub(crate) async fn conflicts(world: &World, kind: &str, status: &str) -> Vec<i64> {
    let arguments = ["conflicts", "list", "--json", "--kind", kind, "--status", status];
    let list: Vec<Value> = serde_json::from_str(&world.succeed(&arguments).await).unwrap();
    list.iter().map(|conflict| conflict["id"].as_i64().unwrap()).collect()
}
