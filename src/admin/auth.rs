//! Who may do what: tokens, sessions, roles.
//!
//! A token is exchanged for a cookie with a random id. The server keeps the digest of the id with the holder's name, so that
//! a session ends at the log-out, after an hour without a request, after a working day, when the daemon restarts, and when a
//! reload takes the token away; the role is looked up for every request.

use std::collections::HashMap;
use std::net::{IpAddr, SocketAddr};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use askama::Template;
use axum::Form;
use axum::extract::{ConnectInfo, FromRequestParts, Query, State};
use axum::http::request::Parts;
use axum::http::{HeaderMap, Method, StatusCode, header};
use axum::response::{IntoResponse, Response};
use serde::Deserialize;
use sha2::{Digest, Sha256};

use super::layout::{self, Page, render, see_other};
use super::state::Admin;
use crate::config::{Holder, Role};

/// A session without a request ends after this time.
const IDLE: Duration = Duration::from_secs(60 * 60);
/// Every session ends after this time: a working day.
const LONGEST: Duration = Duration::from_secs(12 * 60 * 60);
/// Most sessions; the one that was idle for longest gives way.
const SESSIONS: usize = 1000;
/// Attempts that an address has at once.
const BURST: f64 = 5.0;
/// Seconds in which it gains another one.
const PER_ATTEMPT: f64 = 5.0;
/// Most addresses whose attempts are counted.
const ADDRESSES: usize = 10_000;

const COOKIE: &str = "tributary_admin";

/// Somebody who has logged in.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Who {
    /// The holder of the token, as the operation log names it.
    pub name: String,
    /// What the token is good for.
    pub role: Role,
}

impl Who {
    /// Whether it may decide about conflicts.
    #[must_use]
    pub fn may_decide(&self) -> bool {
        self.role >= Role::Decide
    }

    /// Whether it may run what changes everything.
    #[must_use]
    pub fn may_operate(&self) -> bool {
        self.role >= Role::Operate
    }
}

struct Session {
    holder: String,
    /// Of the token it was opened with.
    token: [u8; 32],
    began: Instant,
    seen: Instant,
}

/// The open sessions by the digest of their id.
#[derive(Default)]
pub(super) struct Sessions(Mutex<HashMap<[u8; 32], Session>>);

impl Sessions {
    /// Opens one, and returns its id.
    fn open(&self, holder: &Holder, now: Instant) -> Option<String> {
        let mut random = [0; 32];
        rustls::crypto::ring::default_provider().secure_random.fill(&mut random).ok()?;
        let id: String = random.iter().map(|byte| format!("{byte:02x}")).collect();
        let mut sessions = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        sessions.retain(|_, session| session.is_open(now));
        if sessions.len() >= SESSIONS
            && let Some(idle) = sessions.iter().min_by_key(|(_, s)| s.seen).map(|(id, _)| *id)
        {
            sessions.remove(&idle);
        }
        let session = Session {
            holder: holder.name.clone(),
            token: digest(&holder.token),
            began: now,
            seen: now,
        };
        sessions.insert(digest(&id), session);
        Some(id)
    }

    /// Who has the session, while its token is in force.
    fn who(&self, id: &str, holders: &[Holder], now: Instant) -> Option<Who> {
        let mut sessions = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let session = sessions.get_mut(&digest(id)).filter(|session| session.is_open(now))?;
        let holder = holders.iter().find(|holder| holder.name == session.holder)?;
        if digest(&holder.token) != session.token {
            return None;
        }
        session.seen = now;
        Some(Who { name: holder.name.clone(), role: holder.role })
    }

    fn close(&self, id: &str) {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).remove(&digest(id));
    }
}

impl Session {
    fn is_open(&self, now: Instant) -> bool {
        now.duration_since(self.seen) < IDLE && now.duration_since(self.began) < LONGEST
    }
}

/// Log-ins that failed, by address: a few at once, then one in five seconds.
#[derive(Default)]
pub(super) struct Attempts(Mutex<HashMap<IpAddr, (f64, Instant)>>);

impl Attempts {
    /// Takes an attempt; `false`: there is none left.
    fn take(&self, address: IpAddr, now: Instant) -> bool {
        let mut all = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let left = |(left, at): (f64, Instant)| {
            (left + now.duration_since(at).as_secs_f64() / PER_ATTEMPT).min(BURST)
        };
        if all.len() >= ADDRESSES {
            all.retain(|_, entry| left(*entry) < BURST);
        }
        if all.len() >= ADDRESSES && !all.contains_key(&address) {
            return false;
        }
        let entry = all.entry(address).or_insert((BURST, now));
        let rest = left(*entry) - 1.0;
        if rest < 0.0 {
            return false;
        }
        *entry = (rest, now);
        true
    }

    /// Gives all back: somebody with a token has logged in.
    fn clear(&self, address: IpAddr) {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).remove(&address);
    }
}

/// Compared instead of what was digested, so that the time taken says nothing about it.
fn digest(text: &str) -> [u8; 32] {
    Sha256::digest(text.as_bytes()).into()
}

/// Who asks, for handlers that need the role `view`.
pub struct View(pub Who);
/// Who asks, for handlers that need the role `decide`.
pub struct Decide(pub Who);
/// Who asks, for handlers that need the role `operate`.
pub struct Operate(pub Who);

macro_rules! extractor {
    ($name:ident) => {
        impl FromRequestParts<Arc<Admin>> for $name {
            type Rejection = Response;

            async fn from_request_parts(
                parts: &mut Parts,
                admin: &Arc<Admin>,
            ) -> Result<Self, Response> {
                at_least(Role::$name, parts, admin).map(Self)
            }
        }
    };
}
extractor!(View);
extractor!(Decide);
extractor!(Operate);

#[expect(clippy::result_large_err, reason = "the answer is what axum sends")]
fn at_least(role: Role, parts: &Parts, admin: &Admin) -> Result<Who, Response> {
    let Some(who) = of_cookie(&parts.headers, admin) else {
        return Err(log_in_first(parts));
    };
    if who.role < role {
        return Err(layout::refused(&who, role));
    }
    Ok(who)
}

fn of_cookie(headers: &HeaderMap, admin: &Admin) -> Option<Who> {
    let id = cookie(headers)?;
    admin.sessions.who(id, &admin.current().config.admin.holders, Instant::now())
}

fn cookie(headers: &HeaderMap) -> Option<&str> {
    let all = headers.get_all(header::COOKIE).into_iter();
    let mut pairs = all.filter_map(|value| value.to_str().ok()).flat_map(|text| text.split(';'));
    pairs.find_map(|pair| pair.trim().strip_prefix(COOKIE)?.strip_prefix('='))
}

/// A page asks for a log-in and then goes on; what is sent in a form is lost.
fn log_in_first(parts: &Parts) -> Response {
    let wants_page = matches!(parts.method, Method::GET | Method::HEAD);
    let is_stream = parts.headers.get(header::ACCEPT).is_some_and(|a| a == "text/event-stream");
    if !wants_page || is_stream {
        let text = "the session has ended: log in at /admin/login and try again";
        return (StatusCode::UNAUTHORIZED, text).into_response();
    }
    let next = parts.uri.path_and_query().map_or("/admin", |next| next.as_str());
    see_other(&format!("/admin/login?next={}", layout::encoded(next)))
}

#[derive(Template)]
#[template(path = "admin/login.html")]
struct LogInPage {
    page: Page,
    next: String,
    problem: Option<&'static str>,
}

#[derive(Deserialize)]
pub(super) struct Next {
    #[serde(default)]
    next: String,
}

#[derive(Deserialize)]
pub(super) struct LogIn {
    token: String,
    #[serde(default)]
    next: String,
}

/// The form; who has logged in already goes on.
pub(super) async fn form(
    State(admin): State<Arc<Admin>>,
    Query(Next { next }): Query<Next>,
    headers: HeaderMap,
) -> Response {
    if of_cookie(&headers, &admin).is_some() {
        return see_other(own(&next));
    }
    log_in_page(next, None)
}

fn log_in_page(next: String, problem: Option<&'static str>) -> Response {
    render(&LogInPage { page: Page::without_session("Log in"), next, problem })
}

/// Exchanges a token for a session.
pub(super) async fn log_in(
    State(admin): State<Arc<Admin>>,
    ConnectInfo(peer): ConnectInfo<SocketAddr>,
    headers: HeaderMap,
    Form(LogIn { token, next }): Form<LogIn>,
) -> Response {
    let now = Instant::now();
    if !admin.attempts.take(peer.ip(), now) {
        tracing::warn!(%peer, "admin: too many log-ins with a wrong token");
        let problem = "Too many attempts. Wait a few seconds.";
        let page = log_in_page(next, Some(problem));
        return (StatusCode::TOO_MANY_REQUESTS, [(header::RETRY_AFTER, "5")], page).into_response();
    }
    let current = admin.current();
    let page = &current.config.admin;
    let presented = digest(token.trim());
    let holder = page.holders.iter().find(|holder| digest(&holder.token) == presented);
    let Some((holder, id)) = holder.and_then(|h| Some((h, admin.sessions.open(h, now)?))) else {
        tracing::warn!(%peer, "admin: a log-in with a wrong token");
        let page = log_in_page(next, Some("This token is not known."));
        return (StatusCode::UNAUTHORIZED, page).into_response();
    };
    admin.attempts.clear(peer.ip());
    tracing::info!(%peer, holder = holder.name, role = holder.role.as_str(), "admin: logged in");
    if let Some(old) = cookie(&headers) {
        admin.sessions.close(old);
    }
    let secure = if page.is_by_tls() { "; Secure" } else { "" };
    let cookie = format!("{COOKIE}={id}; Path=/admin; HttpOnly; SameSite=Strict{secure}");
    ([(header::SET_COOKIE, cookie)], see_other(own(&next))).into_response()
}

/// Ends the session, wherever its cookie may have gone.
pub(super) async fn log_out(State(admin): State<Arc<Admin>>, headers: HeaderMap) -> Response {
    if let Some(id) = cookie(&headers) {
        admin.sessions.close(id);
    }
    let gone = format!("{COOKIE}=; Path=/admin; HttpOnly; SameSite=Strict; Max-Age=0");
    ([(header::SET_COOKIE, gone)], see_other("/admin/login")).into_response()
}

/// Where to go on; never to another site.
fn own(next: &str) -> &str {
    let is_own = next == "/admin" || next.starts_with("/admin/") || next.starts_with("/admin?");
    let is_plain = next.bytes().all(|byte| byte.is_ascii_graphic() && byte != b'\\');
    if is_own && is_plain { next } else { "/admin" }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn holder(name: &str, token: &str) -> Holder {
        let (name, token) = (name.to_owned(), token.to_owned());
        Holder { name, role: Role::Decide, token, file: String::new() }
    }

    #[test]
    fn a_session_ends_by_itself_and_with_its_token() {
        let (sessions, now) = (Sessions::default(), Instant::now());
        let holders = [holder("maria", "0123456789abcdef"), holder("jun", "fedcba9876543210")];
        let id = sessions.open(&holders[0], now).unwrap();
        let who = |id: &str, holders: &[Holder], at: Duration| sessions.who(id, holders, now + at);
        assert_eq!(who(&id, &holders, Duration::ZERO).unwrap().name, "maria");
        assert!(who("0123", &holders, Duration::ZERO).is_none());
        // The token was taken away, or replaced.
        assert!(who(&id, &holders[1..], Duration::ZERO).is_none());
        assert!(who(&id, &[holder("maria", "another-0123456789")], Duration::ZERO).is_none());
        // In use it lasts, but not for ever.
        let minutes = |minutes: u64| Duration::from_secs(60 * minutes);
        for at in (0..12 * 60).step_by(50) {
            assert!(who(&id, &holders, minutes(at)).is_some(), "{at}");
        }
        assert!(who(&id, &holders, minutes(12 * 60)).is_none());
        let other = sessions.open(&holders[1], now).unwrap();
        assert!(who(&other, &holders, minutes(60)).is_none());
        let closed = sessions.open(&holders[1], now).unwrap();
        sessions.close(&closed);
        assert!(who(&closed, &holders, Duration::ZERO).is_none());
    }

    #[test]
    fn attempts_of_an_address_are_few() {
        let (attempts, now) = (Attempts::default(), Instant::now());
        let (one, other): (IpAddr, IpAddr) =
            ("192.0.2.1".parse().unwrap(), "192.0.2.2".parse().unwrap());
        for _ in 0..5 {
            assert!(attempts.take(one, now));
        }
        assert!(!attempts.take(one, now));
        assert!(attempts.take(other, now));
        assert!(!attempts.take(one, now + Duration::from_secs(4)));
        assert!(attempts.take(one, now + Duration::from_secs(6)));
        assert!(!attempts.take(one, now + Duration::from_secs(6)));
        attempts.clear(one);
        assert!(attempts.take(one, now + Duration::from_secs(6)));
    }

    #[test]
    fn goes_on_only_within_the_page() {
        for (next, expected) in [
            ("/admin/log?kind=x", "/admin/log?kind=x"),
            ("/admin?x", "/admin?x"),
            ("", "/admin"),
            ("//evil.example.com", "/admin"),
            ("https://evil.example.com/admin/", "/admin"),
            ("/admin/\r\nSet-Cookie: a", "/admin"),
            ("/administrator", "/admin"),
        ] {
            assert_eq!(own(next), expected);
        }
    }
}
