//! What all pages have in common.

use askama::Template;
use axum::http::{StatusCode, header};
use axum::response::{Html, IntoResponse, Response};

use super::assets;
use super::auth::Who;
use crate::config::Role;
use crate::error::Error;

/// The pages of the navigation: key, address, name.
pub(super) const NAVIGATION: [(&str, &str, &str); 5] = [
    ("overview", "/admin", "Overview"),
    ("conflicts", "/admin/conflicts", "Review"),
    ("people", "/admin/people", "People"),
    ("control", "/admin/control", "Control"),
    ("log", "/admin/log", "Log"),
];

/// What the base template shows around a page: a field `page` of each template's struct.
pub struct Page {
    /// Of the window.
    pub title: String,
    /// The key of the navigation's entry that is current.
    pub at: &'static str,
    /// Who has logged in.
    pub who: Option<Who>,
}

impl Page {
    /// A page for somebody; `at` is a key of `NAVIGATION`.
    #[must_use]
    pub fn new(who: &Who, at: &'static str, title: impl Into<String>) -> Self {
        Self { title: title.into(), at, who: Some(who.clone()) }
    }

    pub(super) fn without_session(title: &str) -> Self {
        Self { title: title.to_owned(), at: "", who: None }
    }

    /// The address of the style sheet.
    #[must_use]
    pub fn style(&self) -> &'static str {
        assets::style()
    }

    /// The address of the icon.
    #[must_use]
    pub fn icon(&self) -> &'static str {
        assets::icon()
    }

    /// The address of the script.
    #[must_use]
    pub fn script(&self) -> &'static str {
        assets::script()
    }

    /// The entries of the navigation.
    #[must_use]
    pub fn navigation(&self) -> &'static [(&'static str, &'static str, &'static str)] {
        &NAVIGATION
    }
}

/// A page as an answer.
pub fn render(template: &impl Template) -> Response {
    match template.render() {
        Ok(text) => Html(text).into_response(),
        Err(error) => {
            tracing::error!(%error, "admin: a page cannot be rendered");
            (StatusCode::INTERNAL_SERVER_ERROR, "this page cannot be rendered").into_response()
        }
    }
}

/// Goes on with a page, after a form.
#[must_use]
pub fn see_other(address: &str) -> Response {
    (StatusCode::SEE_OTHER, [(header::LOCATION, address.to_owned())]).into_response()
}

/// A value of a query as it stands in an address.
#[must_use]
pub(super) fn encoded(text: &str) -> String {
    text.bytes().fold(String::with_capacity(text.len()), |mut all, byte| {
        if byte.is_ascii_alphanumeric() || b"-._~/".contains(&byte) {
            all.push(char::from(byte));
        } else {
            all.push_str(&format!("%{byte:02X}"));
        }
        all
    })
}

/// A value of an export that no spreadsheet takes for a formula.
#[must_use]
pub(super) fn inert(value: &str) -> String {
    let is_number = value.parse::<rust_decimal::Decimal>().is_ok();
    let is_formula =
        value.starts_with(['=', '+', '-', '@', '\t', '\r', '\n', '＝', '＋', '－', '＠']);
    if is_formula && !is_number { format!("'{value}") } else { value.to_owned() }
}

#[derive(Template)]
#[template(path = "admin/message.html")]
struct MessagePage {
    page: Page,
    text: String,
}

fn message(who: &Who, title: &str, text: String) -> Response {
    render(&MessagePage { page: Page::new(who, "", title), text })
}

pub(super) fn not_found(who: &Who) -> Response {
    let page = message(who, "Not found", "There is no such page.".into());
    (StatusCode::NOT_FOUND, page).into_response()
}

pub(super) fn refused(who: &Who, role: Role) -> Response {
    let text = format!(
        "This needs the role “{role}”; the token of {} has the role “{}”.",
        who.name, who.role
    );
    (StatusCode::FORBIDDEN, message(who, "Not allowed", text)).into_response()
}

/// An error of a handler as a page.
pub struct Failure(Error);

impl From<Error> for Failure {
    fn from(error: Error) -> Self {
        Self(error)
    }
}

impl IntoResponse for Failure {
    fn into_response(self) -> Response {
        let code = match &self.0 {
            Error::Refused { .. } => StatusCode::CONFLICT,
            Error::Unavailable { .. } => StatusCode::SERVICE_UNAVAILABLE,
            _ => StatusCode::INTERNAL_SERVER_ERROR,
        };
        let page = Page::without_session("That did not work");
        (code, render(&MessagePage { page, text: self.0.to_string() })).into_response()
    }
}
