//! What every request below `/admin` passes before it reaches a page, and what every answer carries.

use std::sync::Arc;

use axum::extract::{Request, State};
use axum::http::{HeaderMap, HeaderName, HeaderValue, Method, StatusCode, header};
use axum::middleware::Next;
use axum::response::{IntoResponse, Response};

use super::state::{Admin, Current};

/// Nothing but the page's own files and forms. Frames of others are refused, so that no click can be stolen.
const POLICY: &str = "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self'; connect-src 'self'; \
                      form-action 'self'; frame-ancestors 'none'; base-uri 'none'";

/// On every answer. `same-origin` and not `no-referrer`, by which browsers would send `Origin: null` with forms.
const HEADERS: [(HeaderName, &str); 6] = [
    (header::CONTENT_SECURITY_POLICY, POLICY),
    (header::X_CONTENT_TYPE_OPTIONS, "nosniff"),
    (header::X_FRAME_OPTIONS, "DENY"),
    (header::REFERRER_POLICY, "same-origin"),
    (HeaderName::from_static("cross-origin-opener-policy"), "same-origin"),
    (HeaderName::from_static("cross-origin-resource-policy"), "same-origin"),
];

pub(super) async fn guard(
    State(admin): State<Arc<Admin>>,
    request: Request,
    next: Next,
) -> Response {
    let current = admin.current();
    let mut response = if !current.config.admin.is_on() {
        let text = "the operators' page is not turned on: see [admin] of the configuration";
        (StatusCode::NOT_FOUND, text).into_response()
    } else if let Some((code, why)) = refusal(request.method(), request.headers(), &current) {
        (code, why).into_response()
    } else {
        next.run(request).await
    };
    let headers = response.headers_mut();
    for (name, value) in HEADERS {
        headers.insert(name, HeaderValue::from_static(value));
    }
    if !headers.contains_key(header::CACHE_CONTROL) {
        headers.insert(header::CACHE_CONTROL, HeaderValue::from_static("no-store"));
    }
    response
}

/// Why a request goes no further.
fn refusal(
    method: &Method,
    headers: &HeaderMap,
    current: &Current,
) -> Option<(StatusCode, &'static str)> {
    let text = |name: HeaderName| headers.get(name).and_then(|value| value.to_str().ok());
    let host = text(header::HOST).map(str::to_ascii_lowercase).unwrap_or_default();
    if !current.hosts.contains(&host) {
        let why = "this name is not one of the page's: set [admin] public_url or hosts";
        return Some((StatusCode::MISDIRECTED_REQUEST, why));
    }
    if matches!(*method, Method::GET | Method::HEAD) {
        return None;
    }
    let site = text(HeaderName::from_static("sec-fetch-site"));
    let is_own = match text(header::ORIGIN) {
        Some(origin) => current.is_own_origin(origin, &host),
        None => site == Some("same-origin"),
    };
    let is_same_site = site.is_none_or(|site| site == "same-origin");
    if !is_own || !is_same_site {
        return Some((StatusCode::FORBIDDEN, "this form was not sent by the page itself"));
    }
    None
}
