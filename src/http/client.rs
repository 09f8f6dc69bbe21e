//! One small request to the daemon's own endpoint, for `healthcheck` and `status`.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::time::Duration;

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

use crate::error::{Error, Result};

/// How long a daemon on the same machine may take to answer.
const PATIENCE: Duration = Duration::from_secs(5);

/// Largest answer that is read, in bytes: `/metrics` is some tens of kilobytes.
const LARGEST: u64 = 4 * 1024 * 1024;

/// An HTTP answer.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Answer {
    /// Status code, such as 200.
    pub code: u16,
    /// The body as text.
    pub body: String,
}

/// Whether it is a daemon that gave this answer of `/livez` or `/readyz`.
#[must_use]
pub fn is_of_a_daemon(answer: &Answer) -> bool {
    let body: Option<serde_json::Value> = serde_json::from_str(&answer.body).ok();
    body.is_some_and(|body| body["ok"].is_boolean() && body["phase"].is_string())
}

/// Asks the daemon that listens on `listen`, with its token where it has one (an unspecified address is asked on the loopback).
///
/// # Errors
/// [`Error::Unavailable`] when nothing answers HTTP there within five seconds.
pub async fn fetch(listen: SocketAddr, path: &str, token: Option<&str>) -> Result<Answer> {
    let address = reachable(listen);
    let context = || format!("asking the daemon at http://{address}{path}");
    let exchange = tokio::time::timeout(PATIENCE, exchange(address, path, token));
    match exchange.await {
        Err(_) => Err(Error::unavailable(context(), "no answer within 5 s")),
        Ok(Err(error)) => Err(Error::unavailable(context(), error)),
        Ok(Ok(answer)) => {
            parse(&answer).ok_or_else(|| Error::unavailable(context(), "that is no HTTP answer"))
        }
    }
}

/// HTTP/1.0, since its answers end with the connection and are never in chunks.
async fn exchange(
    address: SocketAddr,
    path: &str,
    token: Option<&str>,
) -> std::io::Result<Vec<u8>> {
    let mut stream = TcpStream::connect(address).await?;
    let token = token.map(|token| format!("Authorization: Bearer {token}\r\n"));
    let token = token.unwrap_or_default();
    let request =
        format!("GET {path} HTTP/1.0\r\nHost: {address}\r\n{token}Connection: close\r\n\r\n");
    stream.write_all(request.as_bytes()).await?;
    let mut answer = Vec::new();
    stream.take(LARGEST).read_to_end(&mut answer).await?;
    Ok(answer)
}

fn parse(answer: &[u8]) -> Option<Answer> {
    let text = std::str::from_utf8(answer).ok()?;
    let (head, body) = text.split_once("\r\n\r\n")?;
    let mut words = head.lines().next()?.split(' ');
    words.next()?.strip_prefix("HTTP/1.")?;
    Some(Answer { code: words.next()?.parse().ok()?, body: body.to_owned() })
}

fn reachable(listen: SocketAddr) -> SocketAddr {
    let ip = match listen.ip() {
        IpAddr::V4(ip) if ip.is_unspecified() => IpAddr::V4(Ipv4Addr::LOCALHOST),
        IpAddr::V6(ip) if ip.is_unspecified() => IpAddr::V6(Ipv6Addr::LOCALHOST),
        ip => ip,
    };
    SocketAddr::new(ip, listen.port())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_daemon_is_known_by_its_answer() {
        let check = |body: &str, expected: bool| {
            let answer = Answer { code: 503, body: body.to_owned() };
            assert_eq!(is_of_a_daemon(&answer), expected, "{body}");
        };
        check(r#"{"ok":false,"phase":"starting","reason":"x"}"#, true);
        check(r#"{"ok":true}"#, false);
        check("ok", false);
    }

    #[test]
    fn reads_the_code_and_the_body() {
        let table = [
            ("HTTP/1.0 200 OK\r\nA: b\r\n\r\n{}", Some((200, "{}"))),
            ("HTTP/1.1 503 Service Unavailable\r\n\r\n", Some((503, ""))),
            ("HTTP/1.1 abc\r\n\r\n", None),
            ("SSH-2.0-x\r\n\r\n", None),
            ("HTTP/1.1 200 OK\r\n", None),
            ("", None),
        ];
        for (answer, expected) in table {
            let expected = expected.map(|(code, body)| Answer { code, body: body.to_owned() });
            assert_eq!(parse(answer.as_bytes()), expected, "{answer:?}");
        }
    }

    #[test]
    fn asks_an_unspecified_address_on_the_loopback() {
        for (listen, expected) in [
            ("0.0.0.0:1", "127.0.0.1:1"),
            ("[::]:1", "[::1]:1"),
            ("127.0.0.1:2", "127.0.0.1:2"),
            ("192.0.2.1:3", "192.0.2.1:3"),
        ] {
            let (listen, expected) = (listen.parse().unwrap(), expected.parse().unwrap());
            assert_eq!(reachable(listen), expected);
        }
    }
}
