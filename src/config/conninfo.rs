//! Connection strings in both forms of libpq, as parameters by name.
//!
//! See <https://www.postgresql.org/docs/current/libpq-connect.html#LIBPQ-CONNSTRING>. The driver reads
//! the same forms, but not every value of `sslmode`, and its messages may quote what they cannot read.
//! Nothing here quotes a value: any piece of a mistyped URL may be a piece of the password.

use std::collections::BTreeMap;

/// Parameters by libpq's names.
pub(super) type Parameters = BTreeMap<String, String>;

/// What a wrong URL most often is.
const ENCODE: &str =
    "(characters such as @ : / ? # % in a user or password are written %40 %3A %2F …)";

/// Reads a URL or a text of `key=value` pairs.
pub(super) fn parse(text: &str) -> Result<Parameters, String> {
    let text = text.trim();
    let rest = text.strip_prefix("postgresql://").or_else(|| text.strip_prefix("postgres://"));
    match rest {
        Some(rest) => parse_url(rest),
        None if text.contains("://") => {
            Err("must begin with postgresql:// or be key=value pairs".into())
        }
        None => parse_pairs(text),
    }
}

fn parse_url(rest: &str) -> Result<Parameters, String> {
    let (rest, query) = rest.split_once('?').unwrap_or((rest, ""));
    let (authority, database) = rest.split_once('/').unwrap_or((rest, ""));
    let (user, hosts) = authority.rsplit_once('@').unwrap_or(("", authority));
    let (user, password) = user.split_once(':').unwrap_or((user, ""));

    let mut found = Parameters::new();
    let (hosts, ports) = split_hosts(hosts)?;
    for (name, value) in [("host", hosts), ("port", ports)] {
        if value.split(',').any(|part| !part.is_empty()) {
            found.insert(name.into(), value);
        }
    }
    for (name, value) in [("user", user), ("password", password), ("dbname", database)] {
        if !value.is_empty() {
            found.insert(name.into(), decoded(value)?);
        }
    }
    for pair in query.split('&').filter(|pair| !pair.is_empty()) {
        let Some((name, value)) = pair.split_once('=') else {
            return Err(format!("a parameter after \"?\" has no \"=\" {ENCODE}"));
        };
        match (decoded(name)?.as_str(), value) {
            ("ssl", "true") => found.insert("sslmode".into(), "require".into()),
            (name, value) => found.insert(name.into(), decoded(value)?),
        };
    }
    Ok(found)
}

/// `a:1,[::1],c` as the lists of hosts and of ports.
fn split_hosts(text: &str) -> Result<(String, String), String> {
    let (mut hosts, mut ports) = (Vec::new(), Vec::new());
    for part in text.split(',') {
        let (host, port) = match part.strip_prefix('[') {
            Some(address) => {
                let Some((host, rest)) = address.split_once(']') else {
                    return Err("an IPv6 address in the URL has no \"]\"".into());
                };
                (host, rest.strip_prefix(':').unwrap_or(rest))
            }
            None => part.split_once(':').unwrap_or((part, "")),
        };
        if !port.is_empty() && port.parse::<u16>().is_err() {
            return Err(format!("the port in the URL is not a number {ENCODE}"));
        }
        hosts.push(decoded(host)?);
        ports.push(port);
    }
    Ok((hosts.join(","), ports.join(",")))
}

fn decoded(text: &str) -> Result<String, String> {
    let mut bytes = Vec::with_capacity(text.len());
    let mut rest = text.as_bytes();
    while let Some((&first, after)) = rest.split_first() {
        rest = after;
        if first != b'%' {
            bytes.push(first);
            continue;
        }
        let digits = after.get(..2).and_then(|digits| std::str::from_utf8(digits).ok());
        let Some(byte) = digits.and_then(|digits| u8::from_str_radix(digits, 16).ok()) else {
            return Err(format!("a \"%\" in the URL is not followed by two hex digits {ENCODE}"));
        };
        bytes.push(byte);
        rest = &after[2..];
    }
    match String::from_utf8(bytes) {
        Ok(text) if !text.contains('\0') => Ok(text),
        _ => Err("the URL holds bytes that are no UTF-8 text".into()),
    }
}

fn parse_pairs(text: &str) -> Result<Parameters, String> {
    let mut found = Parameters::new();
    let mut rest = text.trim_start();
    while !rest.is_empty() {
        let Some((name, after)) = rest.split_once('=') else {
            return Err("a key has no \"=\" (values with spaces stand in single quotes)".into());
        };
        let name = name.trim_end();
        if name.is_empty() || name.contains(char::is_whitespace) {
            return Err("a key has no \"=\" (values with spaces stand in single quotes)".into());
        }
        let (value, after) = take_value(after.trim_start())?;
        found.insert(name.to_owned(), value);
        rest = after.trim_start();
    }
    Ok(found)
}

/// A value and what follows it. A backslash takes the next character as it is, in quotes or not.
fn take_value(text: &str) -> Result<(String, &str), String> {
    let quoted = text.strip_prefix('\'');
    let text = quoted.unwrap_or(text);
    let mut value = String::new();
    let mut characters = text.char_indices();
    while let Some((at, character)) = characters.next() {
        match character {
            '\\' => value.extend(characters.next().map(|(_, next)| next)),
            '\'' if quoted.is_some() => return Ok((value, &text[at + 1..])),
            _ if quoted.is_none() && character.is_whitespace() => return Ok((value, &text[at..])),
            _ => value.push(character),
        }
    }
    if quoted.is_some() {
        return Err("a value has no closing single quote".into());
    }
    Ok((value, ""))
}

/// The parameters as `key=value` pairs: where first, then who, then the rest by name.
pub(super) fn render(parameters: &Parameters) -> String {
    const FIRST: [&str; 6] = ["host", "hostaddr", "port", "user", "password", "dbname"];
    let first = FIRST.iter().filter_map(|name| parameters.get_key_value(*name));
    let others = parameters.iter().filter(|(name, _)| !FIRST.contains(&name.as_str()));
    let pairs = first.chain(others).map(|(name, value)| format!("{name}={}", quoted(value)));
    pairs.collect::<Vec<_>>().join(" ")
}

fn quoted(value: &str) -> String {
    let plain = |c: char| !c.is_whitespace() && c != '\'' && c != '\\';
    if !value.is_empty() && value.chars().all(plain) {
        return value.to_owned();
    }
    format!("'{}'", value.replace('\\', "\\\\").replace('\'', "\\'"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn both_forms_give_the_same_parameters() {
        let check = |text: &str, expected: &str| {
            let found = parse(text).map(|parameters| render(&parameters));
            assert_eq!(found.as_deref(), Ok(expected), "{text}");
        };
        let all =
            "host=db.example.com port=5433 user=u@x password='p w' dbname=shop sslmode=require";
        check("postgresql://u%40x:p%20w@db.example.com:5433/shop?sslmode=require", all);
        check("postgres://u@x:p w@db.example.com:5433/shop?ssl=true", all);
        check(
            r"user = u@x password='p w'  host=db.example.com port=5433 dbname=shop sslmode=require",
            all,
        );
        check("postgresql://", "");
        check("postgresql:///shop?host=/run/pg", "host=/run/pg dbname=shop");
        check("postgresql://%2Frun%2Fpg:99/shop", "host=/run/pg port=99 dbname=shop");
        check("postgresql://[::1]:1,b/x", "host=::1,b port=1, dbname=x");
        check("postgresql://u:@h", "host=h user=u");
        check(r"password='it\'s' host=a\ b", r"host='a b' password='it\'s'");
    }

    #[test]
    fn no_message_quotes_the_text() {
        let check = |text: &str| {
            let message = parse(text).unwrap_err();
            assert!(!message.contains("s3cret"), "{text}: {message}");
        };
        check("mysql://u:s3cret@h/d");
        check("postgres://u:s3cret/x@h/d");
        check("postgres://u:s3cret%zz@h/d");
        check("postgres://u:p?s3cret@h/d");
        check("postgres://u:%ff@h/s3cret");
        check("postgres://u@[::1/s3cret");
        check("host=h s3cret");
        check("password='s3cret");
    }
}
