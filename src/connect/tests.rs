//! Servers that misbehave, each a listener that plays its part.

use std::time::Instant;

use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpListener;

use super::*;

fn server(port: u16, tls: TlsMode) -> Server {
    let mode = if tls == TlsMode::Disable { "disable" } else { "require" };
    let text = format!("host=127.0.0.1 port={port} user=u password=s3cret sslmode={mode}");
    Server {
        postgres: text.parse().unwrap(),
        tls,
        ca_file: None,
        client_cert: None,
        schema: crate::config::Schema::default(),
    }
}

async fn listener() -> (TcpListener, u16) {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let port = listener.local_addr().unwrap().port();
    (listener, port)
}

#[tokio::test]
async fn a_server_that_is_down_is_unavailable() {
    let (listener, port) = listener().await;
    drop(listener);
    let error = connect(&server(port, TlsMode::Disable), "t", "source").await.unwrap_err();
    assert_eq!(error.exit_code(), 69, "{error}");
    let place = format!("source: connecting to 127.0.0.1:{port}: ");
    assert!(error.to_string().starts_with(&place), "{error}");
    assert!(!format!("{error:?}").contains("s3cret"));
}

#[tokio::test]
async fn a_server_that_says_nothing_is_unavailable_after_five_seconds() {
    let (_listener, port) = listener().await;
    let start = Instant::now();
    let error = connect(&server(port, TlsMode::Disable), "t", "target").await.unwrap_err();
    let place = format!("target: connecting to 127.0.0.1:{port}");
    assert_eq!(error.to_string(), format!("{place}: no answer in 5 s"));
    assert_eq!(error.exit_code(), 69);
    assert!(start.elapsed() < CONNECT_TIMEOUT * 2);
}

#[tokio::test]
async fn a_server_without_encryption_is_refused_rather_than_used_in_plaintext() {
    let (listener, port) = listener().await;
    let play = tokio::spawn(async move {
        let (mut socket, _) = listener.accept().await.unwrap();
        let mut request = [0; 8];
        socket.read_exact(&mut request).await.unwrap();
        socket.write_all(b"N").await.unwrap();
        let mut rest = Vec::new();
        socket.read_to_end(&mut rest).await.unwrap();
        rest
    });
    let error = connect(&server(port, TlsMode::Require), "t", "source").await.unwrap_err();
    assert!(matches!(error, Error::Refused { .. }), "{error:?}");
    assert!(play.await.unwrap().is_empty(), "the start-up message went out in plaintext");
}

#[tokio::test]
async fn the_session_is_pinned_whatever_the_url_asks_for() {
    let (listener, port) = listener().await;
    let play = tokio::spawn(async move {
        let (mut socket, _) = listener.accept().await.unwrap();
        let length = socket.read_u32().await.unwrap();
        let mut message = vec![0; usize::try_from(length).unwrap() - 4];
        socket.read_exact(&mut message).await.unwrap();
        String::from_utf8(message[4..].to_vec()).unwrap()
    });
    let mut server = server(port, TlsMode::Disable);
    server.postgres.options("-c DateStyle=German").application_name("theirs");
    assert!(connect(&server, "tributary", "source").await.is_err());
    let sent = play.await.unwrap();
    let value = |name: &str| {
        let mut words = sent.split('\0').skip_while(|word| *word != name);
        words.nth(1).unwrap_or_default().to_owned()
    };
    assert_eq!(value("client_encoding"), "UTF8");
    assert_eq!(value("application_name"), "tributary");
    let options = value("options");
    assert!(options.starts_with("-c DateStyle=German -c DateStyle=ISO"), "{options}");
    for pinned in ["TimeZone=UTC", "IntervalStyle=postgres", "extra_float_digits=3"] {
        assert!(options.contains(pinned), "{options}");
    }
}

#[test]
fn an_unusable_certificates_file_is_a_matter_of_configuration() {
    let check = |content: Option<&str>, expected: &str| {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("ca.pem");
        if let Some(content) = content {
            std::fs::write(&file, content).unwrap();
        }
        for mode in [TlsMode::VerifyCa, TlsMode::VerifyFull] {
            let server = Server { ca_file: Some(file.clone()), ..server(1, mode) };
            let error = tls_config(&server, "source").unwrap_err();
            assert_eq!(error.exit_code(), 78);
            assert!(error.to_string().contains(expected), "{error}");
        }
    };
    check(None, "No such file");
    check(Some("not a certificate"), "the file holds no certificate");
    check(Some("-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n"), "sslrootcert");
}

#[test]
fn a_machine_is_remote_unless_it_is_this_one() {
    for (text, expected) in [
        ("host=/run/postgresql", false),
        ("host=localhost", false),
        ("host=127.0.0.1,::1", false),
        ("host=db.example.com hostaddr=127.0.0.1", false),
        ("host=db.example.com", true),
        ("host=localhost,db.example.com", true),
        ("host=192.0.2.1", true),
    ] {
        assert_eq!(is_remote(&text.parse().unwrap()), expected, "{text}");
    }
}
