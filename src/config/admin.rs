//! The section `[admin]`: the operators' page (SPEC §9).

use std::fmt;
use std::net::SocketAddr;

use axum::http::Uri;

use super::http::token;
use super::load::Place;
use super::section::{Problems, Section, quoted_key};

/// The operators' page. Without a token there is none.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct AdminPage {
    /// Who may log in.
    pub holders: Vec<Holder>,
    /// How browsers reach the page where something stands before the daemon: `https://tributary.example.com`.
    pub public_url: Option<String>,
    /// Values of `Host` that are served beside those that follow from the address and `public_url`.
    pub hosts: Vec<String>,
    /// Whether the page may be served without TLS beyond the loopback: the operator said so.
    pub without_tls: bool,
}

impl AdminPage {
    /// Whether there is a page.
    #[must_use]
    pub fn is_on(&self) -> bool {
        !self.holders.is_empty()
    }

    /// Whether browsers reach it by TLS, so that the cookie is sent by TLS alone.
    #[must_use]
    pub fn is_by_tls(&self) -> bool {
        self.public_url.as_deref().is_some_and(|url| url.starts_with("https://"))
    }
}

/// Somebody with a token.
#[derive(Clone, PartialEq, Eq)]
pub struct Holder {
    /// Written to the operation log.
    pub name: String,
    /// What the token is good for.
    pub role: Role,
    /// The secret.
    pub token: String,
    /// The file that holds it, as the configuration names it.
    pub file: String,
}

impl fmt::Debug for Holder {
    /// Without the token.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Holder")
            .field("name", &self.name)
            .field("role", &self.role)
            .finish_non_exhaustive()
    }
}

/// What somebody may do on the page. Each role includes those before it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Role {
    /// Read.
    View,
    /// Decide about conflicts too.
    Decide,
    /// Run what changes everything too.
    Operate,
}

impl Role {
    /// Every role, the least first.
    pub const ALL: [Self; 3] = [Self::View, Self::Decide, Self::Operate];

    /// The word in the configuration.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::View => "view",
            Self::Decide => "decide",
            Self::Operate => "operate",
        }
    }
}

impl fmt::Display for Role {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// Reads the section. Beyond the loopback the page wants TLS before it, or an explicit word.
pub(super) fn admin(
    mut section: Section<'_>,
    listen: Option<SocketAddr>,
    place: &Place<'_>,
    problems: &mut Problems,
) -> AdminPage {
    let (path, url_path) = (section.path().to_owned(), section.path_of("public_url"));
    let is_present = section.is_present();
    let public_url = section.text("public_url", problems).and_then(|url| {
        let read = origin(url);
        if read.is_none() {
            problems.add(&url_path, "must be http:// or https:// with a host and no path, such as \"https://tributary.example.com\"");
        }
        read
    });
    let hosts = section.texts("hosts", problems).unwrap_or_default();
    let hosts = hosts.into_iter().map(|host| host.to_ascii_lowercase()).collect();
    let without_tls = section.flag("without_tls", problems).unwrap_or(false);
    let holders = holders(section.section("tokens", problems), place, problems);
    section.finish(problems);
    let page = AdminPage { holders, public_url, hosts, without_tls };
    if is_present && !page.is_on() {
        problems.add(&path, "nobody could log in: name a token, such as [admin.tokens.maria] with role and token_file");
    }
    if let Some(listen) = listen
        && page.is_on()
        && !listen.ip().is_loopback()
        && !page.is_by_tls()
        && !without_tls
    {
        problems.add(
            &path,
            format!(
                "{listen} is not on the loopback, and tokens and people's data would cross the network in plain text: set \
                 public_url = \"https://…\" where a proxy with TLS stands before it, or write without_tls = true"
            ),
        );
    }
    page
}

fn holders(mut section: Section<'_>, place: &Place<'_>, problems: &mut Problems) -> Vec<Holder> {
    let mut holders: Vec<Holder> = Vec::new();
    let base = section.path().to_owned();
    for (name, value) in section.entries() {
        let path = format!("{base}.{}", quoted_key(name));
        let Some(table) = value.as_table() else {
            problems.add(&path, format!("must be a table: [{path}]"));
            continue;
        };
        let Some(holder) = holder(name, Section::element(path.clone(), table), place, problems)
        else {
            continue;
        };
        if let Some(other) = holders.iter().find(|other| other.token == holder.token) {
            problems.add(&path, format!("has the same token as {}", other.name));
        }
        holders.push(holder);
    }
    holders
}

fn holder(
    name: &str,
    mut section: Section<'_>,
    place: &Place<'_>,
    problems: &mut Problems,
) -> Option<Holder> {
    let (role_path, file_path) = (section.path_of("role"), section.path_of("token_file"));
    let role = section.text("role", problems);
    let read = role.and_then(|word| Role::ALL.into_iter().find(|role| role.as_str() == word));
    if read.is_none() {
        problems.add(&role_path, "must be \"view\", \"decide\" or \"operate\"");
    }
    let file = section.text("token_file", problems);
    if file.is_none() {
        problems.add(&file_path, "is missing; name the file that holds the token");
    }
    section.finish(problems);
    let token = token(&file_path, file?, place, problems)?;
    Some(Holder { name: name.to_owned(), role: read?, token, file: file?.to_owned() })
}

/// The origin of a URL as a browser sends it: scheme, host and a port that is not the scheme's own.
fn origin(url: &str) -> Option<String> {
    let uri: Uri = url.parse().ok()?;
    let scheme = uri.scheme_str().filter(|scheme| matches!(*scheme, "http" | "https"))?;
    let is_bare = matches!(uri.path(), "" | "/") && uri.query().is_none();
    let authority = uri.authority().filter(|authority| !authority.as_str().contains('@'))?;
    let own = if scheme == "https" { 443 } else { 80 };
    let port = uri.port_u16().filter(|port| *port != own);
    let port = port.map(|port| format!(":{port}")).unwrap_or_default();
    is_bare.then(|| format!("{scheme}://{}{port}", authority.host().to_ascii_lowercase()))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::tests::{URLS, parse};

    #[test]
    fn the_page_is_off_unless_somebody_may_log_in() {
        assert!(!parse(URLS, &[]).unwrap().admin.is_on());
        let folder = tempfile::tempdir().unwrap();
        let file = |name: &str, text: &str| {
            let path = folder.path().join(name);
            std::fs::write(&path, text).unwrap();
            path.display().to_string()
        };
        let (one, two) = (file("one", "0123456789abcdef\n"), file("two", "fedcba9876543210"));
        let token = |name: &str, role: &str, file: &str| {
            format!("[admin.tokens.{name}]\nrole = {role:?}\ntoken_file = {file:?}\n")
        };
        let admin = |http: &str, rest: &str| {
            let config = parse(&format!("{URLS}[http]\n{http}\n[admin]\n{rest}"), &[]);
            config.map(|config| config.admin)
        };
        let beyond = "listen = \"0.0.0.0:1\"\nwithout_token = true";
        let both = token("maria", "decide", &one) + &token("jun", "operate", &two);
        let page = admin("", &both).unwrap();
        let held: Vec<_> = page.holders.iter().map(|h| (h.name.as_str(), h.role)).collect();
        assert_eq!(held, [("jun", Role::Operate), ("maria", Role::Decide)]);
        assert!(!format!("{page:?}").contains("0123456789"));
        let by_tls = format!("public_url = \"https://Tributary.example.com:443/\"\n{both}");
        let page = admin(beyond, &by_tls).unwrap();
        assert_eq!(page.public_url.as_deref(), Some("https://tributary.example.com"));
        assert!(page.is_by_tls());
        assert!(admin(beyond, &format!("without_tls = true\n{both}")).is_ok());
        for (http, rest, expected) in [
            ("", String::new(), "nobody could log in"),
            (beyond, both.clone(), "not on the loopback"),
            (
                beyond,
                format!("public_url = \"http://a.example.com\"\n{both}"),
                "not on the loopback",
            ),
            ("", format!("public_url = \"a.example.com\"\n{both}"), "no path"),
            ("", format!("public_url = \"https://a.example.com/x\"\n{both}"), "no path"),
            ("", token("maria", "root", &one), "\"operate\""),
            ("", token("maria", "view", "/nowhere/token"), "cannot be read"),
            ("", token("maria", "view", &one) + &token("jun", "view", &one), "the same token"),
            ("", "[admin.tokens.maria]\nrole = \"view\"".into(), "token_file: is missing"),
            ("", format!("tokn = 1\n{both}"), "did you mean \"tokens\""),
        ] {
            let problem = admin(http, &rest).unwrap_err();
            assert!(problem.contains(expected) && !problem.contains("0123456789"), "{problem}");
        }
    }
}
