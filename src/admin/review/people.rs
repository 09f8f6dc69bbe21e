//! The search for people, and one person as `explain` shows it.

use std::sync::Arc;

use askama::Template;
use axum::Form;
use axum::extract::{Path, State};
use axum::http::StatusCode;
use axum::response::{IntoResponse, Response};
use serde::Deserialize;
use uuid::Uuid;

use super::reader;
use crate::admin::{Admin, Failure, Page, View, render};
use crate::facts::{EmailKey, visible};
use crate::review::found::{self, Found, MOST};
use crate::review::person::{self, Explained};
use crate::review::summary::summary;

#[derive(Template)]
#[template(path = "admin/review/people.html")]
struct PeoplePage {
    page: Page,
    text: String,
    found: Vec<Found>,
    has_more: bool,
    was_asked: bool,
}

#[derive(Template)]
#[template(path = "admin/review/person.html")]
struct PersonPage {
    page: Page,
    explained: Explained,
    conflicts: Vec<(i64, String, String)>,
}

pub(super) async fn form(View(who): View) -> Response {
    let page = Page::new(&who, "people", "People");
    let (text, found) = (String::new(), Vec::new());
    render(&PeoplePage { page, text, found, has_more: false, was_asked: false })
}

#[derive(Deserialize)]
pub(super) struct Search {
    text: String,
}

/// What is searched for comes in a form: it stands in no address (P14).
pub(super) async fn search(
    View(who): View,
    State(admin): State<Arc<Admin>>,
    Form(Search { text }): Form<Search>,
) -> Result<Response, Failure> {
    let db = reader(&admin).await?;
    let mut found = found::people(&db, &admin.current().config, &text).await?;
    let has_more = found.len() > MOST;
    found.truncate(MOST);
    let page = Page::new(&who, "people", "People");
    Ok(render(&PeoplePage { page, text, found, has_more, was_asked: true }))
}

pub(super) async fn show(
    View(who): View,
    State(admin): State<Arc<Admin>>,
    Path(profile): Path<Uuid>,
) -> Result<Response, Failure> {
    let db = reader(&admin).await?;
    let config = &admin.current().config;
    let explained = match found::of_profile(&db, profile).await? {
        Some(key) => person::load(config, &db, &EmailKey::trusted(key)).await?,
        None => None,
    };
    let Some(explained) = explained else {
        let page = Page::new(&who, "people", "No such person");
        let text = String::new();
        let none = PeoplePage { page, text, found: Vec::new(), has_more: false, was_asked: true };
        return Ok((StatusCode::NOT_FOUND, render(&none)).into_response());
    };
    let conflicts = explained.conflicts.iter();
    let conflicts = conflicts.map(|c| (c.id, c.kind.clone(), summary(&c.kind, &c.evidence)));
    let page = Page::new(&who, "people", visible(&explained.person));
    Ok(render(&PersonPage { page, conflicts: conflicts.collect(), explained }))
}
