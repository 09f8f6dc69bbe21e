//! The sections `[http]` and `[log]`.

use std::net::SocketAddr;

use super::Access;
use super::load::Place;
use super::section::{Problems, Section, text};

/// Shortest token, in characters.
const TOKEN_CHARS: usize = 16;

/// `[http]`.
pub(super) struct Http {
    pub(super) listen: SocketAddr,
    pub(super) access: Access,
}

/// Elsewhere than on the loopback it listens only with a token, or where the file says in so many words that it needs none.
pub(super) fn http(
    mut section: Section<'_>,
    place: &Place<'_>,
    problems: &mut Problems,
) -> Option<Http> {
    let listen = listen(&mut section, place, problems);
    let path = section.path_of("token_file");
    let file = section.text("token_file", problems);
    let access = file.and_then(|file| {
        let token = token(&path, file, place, problems)?;
        Some(Access::Token { token, file: file.to_owned() })
    });
    let without_token = section.flag("without_token", problems).unwrap_or(false);
    let listen_path = section.path_of("listen");
    section.finish(problems);
    let listen = listen?;
    if !listen.ip().is_loopback() && file.is_none() && !without_token {
        problems.add(
            &listen_path,
            format!(
                "{listen} is not on the loopback, and whoever reaches it may read /metrics and /status: name a token_file, or \
                 write without_token = true where the network keeps others out"
            ),
        );
    }
    let open = if without_token { Access::Open } else { Access::Loopback };
    Some(Http { listen, access: access.unwrap_or(open) })
}

/// The token of a file. It is never part of a message.
pub(super) fn token(
    path: &str,
    file: &str,
    place: &Place<'_>,
    problems: &mut Problems,
) -> Option<String> {
    let file = place.resolve(file);
    let token = match std::fs::read_to_string(&file) {
        Ok(text) => text.trim().to_owned(),
        Err(error) => {
            problems.add(path, format!("{} cannot be read: {error}", file.display()));
            return None;
        }
    };
    let is_fit = token.len() >= TOKEN_CHARS && token.bytes().all(|byte| byte.is_ascii_graphic());
    if !is_fit {
        let wanted = format!("at least {TOKEN_CHARS} printable ASCII characters without spaces");
        problems.add(path, format!("the token in {} must be {wanted}", file.display()));
        return None;
    }
    Some(token)
}

/// `[log] level`: directives as in `RUST_LOG`.
pub(super) fn log_level(mut section: Section<'_>, problems: &mut Problems) -> Option<String> {
    let path = section.path_of("level");
    let level = section.text("level", problems).map(str::to_owned);
    section.finish(problems);
    if let Some(problem) = level.as_deref().and_then(crate::logging::problem) {
        problems.add(&path, format!("cannot be read: {problem}"));
    }
    level
}

fn listen(
    section: &mut Section<'_>,
    place: &Place<'_>,
    problems: &mut Problems,
) -> Option<SocketAddr> {
    let path = section.path_of("listen");
    let value = section.value("listen");
    let (path, address) = match (place.override_of(&path), value) {
        (Some((variable, value)), _) => (variable.to_owned(), value),
        (None, Some(value)) => {
            let value = text(value, &path, problems).map(str::to_owned);
            (path, value.unwrap_or_default())
        }
        (None, None) => (path, "127.0.0.1:9464".into()),
    };
    if address.is_empty() {
        return None;
    }
    let numeric = match address.strip_prefix("localhost:") {
        Some(port) => format!("127.0.0.1:{port}"),
        None => address.clone(),
    };
    let parsed = numeric.trim().parse().ok();
    if parsed.is_none() {
        let wanted = "must be an address and a port, such as 127.0.0.1:9464 or 0.0.0.0:9464";
        problems.add(&path, format!("{wanted}, not {address:?}"));
    }
    parsed
}

#[cfg(test)]
mod tests {
    use crate::config::Access;
    use crate::config::tests::{URLS, parse};

    #[test]
    fn beyond_the_loopback_it_wants_a_token_or_a_word() {
        let folder = tempfile::tempdir().unwrap();
        let file = |name: &str, text: &str| {
            let path = folder.path().join(name);
            std::fs::write(&path, text).unwrap();
            path.display().to_string()
        };
        let (good, short) = (file("good", "0123456789abcdef\n"), file("short", "0123456789abcde"));
        let spaced = file("spaced", "0123456789 abcdef");
        let token = Access::Token { token: "0123456789abcdef".into(), file: good.clone() };
        let http = |listen: &str, rest: &str| {
            let config = parse(&format!("{URLS}[http]\nlisten = \"{listen}\"\n{rest}"), &[]);
            config.map(|config| config.http_access)
        };
        let with = |file: &str| format!("token_file = {file:?}");
        for (listen, rest, expected) in [
            ("127.0.0.1:1", String::new(), Access::Loopback),
            ("[::1]:1", String::new(), Access::Loopback),
            ("127.0.0.1:1", with(&good), token.clone()),
            ("0.0.0.0:1", with(&good), token.clone()),
            ("10.0.0.1:1", "without_token = true".into(), Access::Open),
        ] {
            assert_eq!(http(listen, &rest), Ok(expected), "{listen} {rest}");
        }
        for (listen, rest, expected) in [
            ("0.0.0.0:1", String::new(), "not on the loopback"),
            ("[::]:1", "without_token = false".into(), "not on the loopback"),
            ("0.0.0.0:1", with(&short), "at least 16"),
            ("127.0.0.1:1", with(&spaced), "without spaces"),
            ("127.0.0.1:1", with("/nowhere/token"), "cannot be read"),
        ] {
            let problem = http(listen, &rest).unwrap_err();
            assert!(problem.contains(expected) && !problem.contains("0123456789"), "{problem}");
        }
        assert!(!format!("{token:?}").contains("0123"));
    }

    #[test]
    fn a_log_level_is_checked() {
        let level = |level: &str| parse(&format!("{URLS}[log]\nlevel = {level:?}"), &[]);
        assert_eq!(
            level("warn,tributary=debug").unwrap().log_level.as_deref(),
            Some("warn,tributary=debug")
        );
        assert!(level("tributary=loud").unwrap_err().contains("log.level: cannot be read"));
    }
}
