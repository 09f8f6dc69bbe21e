//! One conflict: both sides, what each way to settle it would change, the decision, and the way back.

use std::sync::Arc;

use askama::Template;
use axum::Form;
use axum::extract::{Path, Query as InAddress, State};
use axum::response::Response;
use jiff::Timestamp;
use serde::Deserialize;
use serde_json::Value;

use super::filter::Query;
use super::{Columns, Line, reader};
use crate::admin::layout;
use crate::admin::state::ANSWERED;
use crate::admin::{Admin, Decide, Failure, Page, View, Who, render, requests, see_other};
use crate::ask::Asked;
use crate::config::Config;
use crate::decisions::preview::Preview;
use crate::decisions::{Command, Request};
use crate::error::{Error, Result};
use crate::facts::{EmailKey, visible};
use crate::pg::Db;
use crate::review::query::{Decided, Stored};
use crate::review::queue::{self, Direction, Entry, Filter, Status};
use crate::review::sides::sides;
use crate::review::summary::{summary, text};
use crate::review::ways::{self, Choice, Way};
use crate::review::{found, people, person, query};

/// People whose values are put beside each other.
const BESIDE: usize = 4;

/// A way to settle the conflict, as a form.
struct Action {
    choice: &'static str,
    /// What is fixed, or empty where somebody must say it.
    value: String,
    label: String,
    takes_address: bool,
    takes_product: bool,
    takes_reason: bool,
    key: &'static str,
}

impl Action {
    fn takes_nothing(&self) -> bool {
        !(self.takes_address || self.takes_product || self.takes_reason)
    }
}

/// A table of the page.
struct Section {
    title: &'static str,
    columns: Columns,
}

/// A choice that was previewed, and what it would change.
struct Previewed {
    form: Choosing,
    texts: Vec<String>,
    changed: Vec<Changed>,
    unlisted: usize,
}

/// A value that would change; the row is named once.
struct Changed {
    row: String,
    column: String,
    before: String,
    after: String,
}

impl Previewed {
    fn of(form: Choosing, preview: &Preview) -> Self {
        let mut changed = Vec::new();
        for change in &preview.changes {
            let (table, happens) = (change.table.as_str(), change.happens.as_str());
            let mut row = format!("{table}, {happens}: {}", visible(&change.label));
            for field in &change.fields {
                let value = |value: &Option<String>| visible(value.as_deref().unwrap_or("none"));
                let (before, after) = (value(&field.before), value(&field.after));
                let row = std::mem::take(&mut row);
                changed.push(Changed { row, column: field.name.clone(), before, after });
            }
        }
        let texts = preview.decisions.iter().map(|would| visible(&would.text)).collect();
        Self { form, texts, changed, unlisted: preview.unlisted() }
    }
}

#[derive(Template)]
#[template(path = "admin/review/conflict.html")]
struct ConflictPage {
    page: Page,
    conflict: Stored,
    subject: String,
    about: String,
    amount: String,
    first_seen: String,
    closed: Option<String>,
    affected: String,
    sections: Vec<Section>,
    profiles: Vec<(String, String)>,
    raw: Vec<(String, String)>,
    actions: Vec<Action>,
    products: Vec<(String, String)>,
    remedy: &'static str,
    commands: Vec<String>,
    history: Vec<Decided>,
    around: Around,
}

impl ConflictPage {
    /// The beginning of a long value.
    fn short(&self, value: &str) -> String {
        value.chars().take(60).chain(['…']).collect()
    }
}

/// A decision as its form says it.
#[derive(Debug, Clone, Default, Deserialize)]
#[serde(default)]
pub(super) struct Choosing {
    choice: String,
    value: String,
    note: String,
    /// `preview`, or `decide`.
    step: String,
}

pub(super) async fn show(
    View(who): View,
    State(admin): State<Arc<Admin>>,
    Path(id): Path<i64>,
    InAddress(query): InAddress<Query>,
) -> std::result::Result<Response, Failure> {
    page(&admin, &who, id, &query, None, None).await.map_err(Failure::from)
}

/// Previews, or decides and shows what the conflict became.
pub(super) async fn decide(
    Decide(who): Decide,
    State(admin): State<Arc<Admin>>,
    Path(id): Path<i64>,
    InAddress(query): InAddress<Query>,
    Form(form): Form<Choosing>,
) -> std::result::Result<Response, Failure> {
    let Some(entry) = queue::entry(&*reader(&admin).await?, id).await? else {
        return Ok(page(&admin, &who, id, &query, None, None).await?);
    };
    let command = match command(&entry.conflict, &form) {
        Ok(command) => command,
        Err(error @ Error::Refused { .. }) => {
            return Ok(page(&admin, &who, id, &query, Some(error.to_string()), None).await?);
        }
        Err(error) => return Err(error.into()),
    };
    let (refused, previewed) = if form.step == "decide" {
        match admin.ask(command, &who, ANSWERED).await? {
            Asked::Queued { answer: Some(answer), .. } if answer.done => {
                admin.kept.forget_kinds().await;
                let filter = query.encoded(&query.filter(&admin.searches));
                return Ok(see_other(&format!("/admin/conflicts/{id}?{filter}")));
            }
            Asked::Queued { command, answer: None } => return Ok(requests::see(command)),
            Asked::Queued { answer: Some(answer), .. } => (Some(answer.text), None),
            Asked::Refused(reason) => (Some(reason), None),
        }
    } else {
        match admin.preview(vec![command], &who).await? {
            Ok(preview) => (None, Some(Previewed::of(form, &preview))),
            Err(reason) => (Some(reason), None),
        }
    };
    Ok(page(&admin, &who, id, &query, refused, previewed).await?)
}

/// The command that a form means.
fn command(conflict: &Stored, form: &Choosing) -> Result<Command> {
    let note = Some(form.note.trim().to_owned()).filter(|note| !note.is_empty());
    let id = conflict.id;
    let value = form.value.trim().to_owned();
    let choice = match form.choice.as_str() {
        "dismiss" => {
            return Ok(Command { note, ..Command::of(Request::Dismiss { conflicts: vec![id] }) });
        }
        "revert" => {
            let decision =
                value.parse().map_err(|_| Error::refused("which decision?", "ask again"))?;
            return Ok(Command { note, ..Command::of(Request::Revert { decision }) });
        }
        "keep" => Choice::Keep(value),
        "separate" => Choice::Separate,
        "alias_to" => Choice::AliasTo(value),
        "email" => Choice::Email(value),
        "product" => Choice::Product(value),
        _ => return Err(Error::refused("nothing was decided", "choose one of the ways")),
    };
    if conflict.status != "open" {
        return Err(Error::refused(
            format!("conflict {id} is {}", conflict.status),
            "only open conflicts can be decided; what was decided can be taken back below",
        ));
    }
    let request = ways::request(conflict.kind()?, &conflict.evidence, &choice)?;
    Ok(Command { request, note, conflict: Some(id) })
}

async fn page(
    admin: &Admin,
    who: &Who,
    id: i64,
    query: &Query,
    refused: Option<String>,
    previewed: Option<Previewed>,
) -> Result<Response> {
    let config = &admin.current().config;
    let db = reader(admin).await?;
    let Some(entry) = queue::entry(&db, id).await? else {
        return Ok(layout::not_found(who));
    };
    let filter = query.filter(&admin.searches);
    let (previous, next) = neighbours(&db, &filter, &entry).await?;
    let page = Page::new(who, "conflicts", format!("Conflict {id}"));
    let built = Built { config, db: &db, entry, page };
    let shown = built.into_page(Around {
        query: query.encoded(&filter),
        previous,
        next,
        may_decide: who.may_decide(),
        refused,
        previewed,
    });
    Ok(render(&shown.await?))
}

/// The conflicts before and after this one in the queue.
async fn neighbours(db: &Db, filter: &Filter, entry: &Entry) -> Result<(Option<i64>, Option<i64>)> {
    let place = entry.place(filter.order);
    let mut found = [None, None];
    for (at, direction) in found.iter_mut().zip([Direction::Back, Direction::Forward]) {
        let page = queue::page(db, filter, Some(&place), direction, 1).await?;
        *at = page.first().map(|entry| entry.conflict.id);
    }
    let [previous, next] = found;
    Ok((previous, next))
}

struct Built<'a> {
    config: &'a Config,
    db: &'a Arc<Db>,
    entry: Entry,
    page: Page,
}

struct Around {
    query: String,
    previous: Option<i64>,
    next: Option<i64>,
    may_decide: bool,
    refused: Option<String>,
    previewed: Option<Previewed>,
}

impl Built<'_> {
    async fn into_page(self, around: Around) -> Result<ConflictPage> {
        let Self { config, db, entry, page } = self;
        let Entry { conflict, amount, .. } = entry;
        let kind = conflict.kind()?;
        let pair = ways::pair(kind, &conflict.evidence);
        let addresses = people::addresses(&conflict);
        let persons = people::look_up(db, &config.target, &addresses).await?;
        let persons: Vec<_> = persons.iter().map(people::PersonSide::side).collect();
        let is_open = conflict.status == Status::Open.as_str();
        let local = |at: Timestamp| {
            at.to_zoned(config.rules.zone.clone()).strftime("%Y-%m-%d %H:%M").to_string()
        };
        let closed = conflict.resolved_at.map(|at| {
            let by = conflict.resolved_by.as_deref().unwrap_or("nobody");
            format!("{} by {}", local(at), visible(by))
        });
        let mut sections = vec![
            Section {
                title: "What the rows say",
                columns: Columns::of(&sides(&conflict.evidence)),
            },
            Section { title: "The people, as they are now", columns: Columns::of(&persons) },
            Section {
                title: "Where each value comes from",
                columns: winners(config, db, &addresses).await?,
            },
        ];
        sections.retain(|section| !section.columns.rows.is_empty());
        let products = config.rules.products.iter().map(|p| (p.code.clone(), p.name.clone()));
        Ok(ConflictPage {
            around,
            subject: visible(&conflict.subject),
            about: summary(&conflict.kind, &conflict.evidence),
            amount: if amount.is_zero() { "none".to_owned() } else { amount.to_string() },
            first_seen: local(conflict.first_seen_at),
            closed,
            affected: text(conflict.evidence.get("enrollments_affected")),
            profiles: found::profiles(db, &addresses).await?,
            sections,
            raw: raw(&conflict.evidence),
            actions: if is_open { actions(kind, pair.as_ref()) } else { Vec::new() },
            products: products.collect(),
            remedy: ways::remedy(kind),
            commands: ways::commands(conflict.id, kind, &conflict.evidence),
            history: query::history(db, &conflict, pair.as_ref()).await?,
            conflict,
            page,
        })
    }
}

/// The winner of each field of each person, with its rule.
async fn winners(config: &Config, db: &Arc<Db>, addresses: &[String]) -> Result<Columns> {
    let mut heads = Vec::new();
    let mut rows: Vec<Line> = Vec::new();
    for address in addresses.iter().take(BESIDE) {
        let key = EmailKey::trusted(address.clone());
        let Some(explained) = person::load(config, db, &key).await? else { continue };
        heads.push(visible(address));
        for field in &explained.explanation.fields {
            let value = field.value.as_deref().map_or_else(|| "none".to_owned(), visible);
            let from = field.source_row.as_deref().map(visible);
            let from = from.map(|row| format!(", from {row}")).unwrap_or_default();
            let cell = format!("{value}\n{}{from}", field.rule);
            match rows.iter_mut().find(|line| line.name == field.field) {
                Some(line) => line.cells.push(cell),
                None => {
                    let mut cells = vec![String::new(); heads.len() - 1];
                    cells.push(cell);
                    rows.push(Line { name: field.field.to_owned(), differs: false, cells });
                }
            }
        }
        rows.iter_mut().for_each(|line| line.cells.resize(heads.len(), String::new()));
    }
    for line in &mut rows {
        let value = |cell: &String| cell.split('\n').next().map(str::to_owned);
        line.differs =
            line.cells.iter().any(|cell| value(cell) != line.cells.first().and_then(value));
    }
    Ok(Columns { heads, rows })
}

/// The raw values, with what does not show made visible.
fn raw(evidence: &Value) -> Vec<(String, String)> {
    let columns = evidence["raw"].as_object().into_iter().flatten();
    let columns = columns.map(|(name, value)| (name.clone(), visible(&text(Some(value)))));
    let fields = evidence["fields"].as_array().into_iter().flatten();
    let fields = fields.map(|f| (text(f.get("field")), visible(&text(f.get("raw")))));
    columns.chain(fields).collect()
}

fn actions(kind: crate::unify::ConflictKind, pair: Option<&(String, String)>) -> Vec<Action> {
    let action = |choice, value: &str, label: String, key| Action {
        choice,
        value: value.to_owned(),
        label,
        takes_address: matches!(choice, "alias_to" | "email"),
        takes_product: choice == "product",
        takes_reason: choice == "dismiss",
        key,
    };
    let mut actions = Vec::new();
    for way in ways::ways(kind) {
        match (way, pair) {
            (Way::Keep, Some((a, b))) => {
                for (address, key) in [(a, "a"), (b, "s")] {
                    let label = format!("One person: keep {}", visible(address));
                    actions.push(action("keep", address, label, key));
                }
            }
            (Way::Keep, None) => {}
            (Way::Separate, _) => actions.push(action("separate", "", "Two people".into(), "d")),
            (Way::AliasTo, _) => {
                actions.push(action("alias_to", "", "Belongs to this person".into(), "a"));
            }
            (Way::Email, _) => actions.push(action("email", "", "Use this address".into(), "a")),
            (Way::Product, _) => {
                actions.push(action("product", "", "It is for this product".into(), "a"));
            }
        }
    }
    actions.push(action("dismiss", "", "Needs nothing".into(), "x"));
    actions
}
