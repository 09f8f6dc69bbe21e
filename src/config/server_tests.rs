//! `[source]` and `[target]` as data: a URL and the server that comes of it (SPEC §9).

use super::tests::{URLS, parse};
use super::*;

fn source_server(url: &str, env: &[(&str, &str)]) -> Result<Server, String> {
    let text = format!("[source]\nurl = {url:?}\n[target]\nurl = \"host=/run/t user=u\"\n");
    parse(&text, env).map(|config| config.source.server)
}

#[test]
fn encryption_follows_sslmode_and_never_falls_back() {
    let check =
        |url: &str, expected: Result<TlsMode, &str>| match (source_server(url, &[]), expected) {
            (Ok(server), Ok(mode)) => assert_eq!(server.tls, mode, "{url}"),
            (Err(message), Err(part)) => assert!(message.contains(part), "{url}: {message}"),
            (found, _) => panic!("{url}: {found:?}"),
        };
    let remote = |query: &str| format!("postgresql://u:p@db.example.com/d{query}");
    check(&remote(""), Ok(TlsMode::Require));
    check(&remote("?sslmode=disable"), Ok(TlsMode::Disable));
    check(&remote("?sslmode=require"), Ok(TlsMode::Require));
    check(&remote("?sslmode=verify-ca"), Ok(TlsMode::VerifyCa));
    check(&remote("?sslmode=verify-full"), Ok(TlsMode::VerifyFull));
    check(&remote("?sslrootcert=/ca.pem"), Ok(TlsMode::VerifyFull));
    check(&remote("?sslrootcert=/ca.pem&sslmode=require"), Ok(TlsMode::VerifyCa));
    check(&remote("?sslrootcert=system"), Ok(TlsMode::VerifyFull));
    check(&remote("?sslmode=prefer"), Err("sslmode=prefer falls back to plaintext"));
    check(&remote("?sslmode=allow"), Err("sslmode=allow falls back to plaintext"));
    check(&remote("?sslmode=verifyfull"), Err("unknown sslmode; did you mean \"verify-full\"?"));
    check(&remote("?sslmod=require"), Err("unknown parameter sslmod; did you mean \"sslmode\"?"));
    check(&remote("?sslcert=/x&sslkey=/y"), Ok(TlsMode::Require));
    check(&remote("?sslcert=/x"), Err("sslcert needs sslkey"));
    check(&remote("?sslkey=/x"), Err("sslkey needs sslcert"));
    check(&remote("?sslcrl=/x"), Err("the parameter sslcrl is not supported"));
    check(&remote("?channel_binding=prefer"), Ok(TlsMode::Require));
    check(&remote("?channel_binding=require"), Err("cannot be kept by the replication connection"));
    check("postgresql://u@localhost/d", Ok(TlsMode::Disable));
    check("postgresql://u@127.0.0.2/d", Ok(TlsMode::Disable));
    check("postgresql://u@[::1]/d", Ok(TlsMode::Disable));
    check("postgresql://u@localhost/d?sslmode=require", Ok(TlsMode::Require));
    check("postgresql://u@localhost,db.example.com/d", Ok(TlsMode::Require));
    check("host=localhost hostaddr=10.0.0.1 user=u", Ok(TlsMode::Require));
    check("host=/run/pg user=u", Ok(TlsMode::Disable));
    check("host=/run/pg user=u sslmode=verify-full", Ok(TlsMode::Disable));
    check("host=/run/pg,db.example.com user=u", Err("sockets and hosts together"));
}

/// What is taken for the name of a parameter may be a piece of a password with a `?` or a space in it.
#[test]
fn an_unknown_parameter_is_told_once_and_without_its_name() {
    for url in ["postgresql://u:1?s3cret=x@db.example.com/d", "host=h user=u s3cret=x"] {
        let text = format!("[source]\nurl = {url:?}\n[target]\nurl = \"host=/run/pg user=u\"");
        let env = |name: &str| (name == "USER").then(|| "u".to_owned());
        let message = Config::parse(&text, &env).unwrap_err().to_string();
        assert!(
            message.contains("source.url: an unknown parameter; the known ones are"),
            "{message}"
        );
        assert!(
            message.matches("source.url").count() == 1 && !message.contains("s3cret"),
            "{message}"
        );
    }
}

#[test]
fn servers_are_completed_as_libpq_does() {
    let check = |url: &str, env: &[(&str, &str)], expected: &str| {
        let config = source_server(url, env).unwrap().postgres;
        let password = config.get_password().map(String::from_utf8_lossy);
        let found = format!(
            "{} {:?} {} {}",
            config.get_user().unwrap(),
            config.get_ports(),
            config.get_dbname().unwrap(),
            password.as_deref().unwrap_or("-")
        );
        assert_eq!(found, expected, "{url}");
    };
    check("postgresql://u@h", &[], "u [5432] u -");
    check("postgresql://u:p@h:1/d", &[("PGPASSWORD", "x"), ("PGUSER", "y")], "u [1] d p");
    check("postgresql://h/d", &[("USER", "me"), ("PGPASSWORD", "x")], "me [5432] d x");
    check("postgresql://h", &[("PGUSER", "y"), ("PGPORT", "7"), ("PGDATABASE", "z")], "y [7] z -");
    check("postgresql://u@a:1,b/d", &[], "u [1, 5432] d -");
    check("postgresql://u:a%40b'c\\d@h/d", &[], "u [5432] d a@b'c\\d");
    let message = source_server("postgresql://h/d", &[]).unwrap_err();
    assert!(message.contains("source.url: names no user"), "{message}");
    let message = source_server("host=a,b,c port=1,2 user=u", &[]).unwrap_err();
    assert!(message.contains("port must list as many values as there are hosts"), "{message}");
}

#[test]
fn password_files_stand_beside_the_configuration_or_with_the_credentials() {
    let folder = tempfile::tempdir().unwrap();
    let credentials = tempfile::tempdir().unwrap();
    let file = folder.path().join("c.toml");
    std::fs::write(&file, URLS.replacen("[source]", "[source]\npassword_file = 'pw'", 1)).unwrap();
    let load = |env: &[(&str, String)]| {
        let lookup = |name: &str| {
            env.iter().find(|(known, _)| *known == name).map(|(_, value)| value.clone())
        };
        let config = Config::load(Some(&file), &lookup);
        config.map(|config| config.source.server.postgres.get_password().unwrap().to_vec())
    };
    let message = load(&[]).unwrap_err().to_string();
    assert!(message.contains("source.password_file: the file"), "{message}");
    std::fs::write(folder.path().join("pw"), "beside\r\n").unwrap();
    std::fs::write(credentials.path().join("pw"), "with credentials").unwrap();
    assert_eq!(load(&[]).unwrap(), b"beside");
    let directory = credentials.path().to_str().unwrap().to_owned();
    assert_eq!(load(&[("CREDENTIALS_DIRECTORY", directory)]).unwrap(), b"with credentials");
    std::fs::write(folder.path().join("pw"), "\n").unwrap();
    assert!(load(&[]).unwrap_err().to_string().contains("is empty"));
}
