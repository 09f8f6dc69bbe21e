//! What an operator runs: each a command of the command line, asked of the daemon.

use std::sync::Arc;
use std::time::Duration;

use askama::Template;
use axum::Form;
use axum::extract::State;
use axum::response::Response;
use serde::Deserialize;

use super::auth::{Operate, View, Who};
use super::layout::{Failure, Page, render};
use super::overview::PATIENCE;
use super::progress::Progress;
use super::requests::{self, Shown};
use super::state::Admin;
use crate::ask::Asked as Queued;
use crate::decisions::{Command, Request};
use crate::error::Result;
use crate::halt::Halt;
use crate::pg::Db;
use crate::store::halt;

/// How long the answer is waited for before the page of the request takes over.
const ANSWERED: Duration = Duration::from_secs(2);

#[derive(Template)]
#[template(path = "admin/control.html")]
struct ControlPage {
    page: Page,
    may_operate: bool,
    /// Why the daemon has halted.
    halted: Option<String>,
    percent: u8,
    /// `None`: the target does not answer.
    stored: Option<Stored>,
    /// What is wrong with the form that was sent.
    problem: Option<String>,
}

/// What the target says.
struct Stored {
    /// What acceptance would delete; it is for exactly this.
    halt: Option<Halt>,
    progress: Option<Progress>,
    requests: Vec<Shown>,
}

impl Stored {
    async fn read(admin: &Admin) -> Result<Self> {
        let db = Db::new(admin.read().await?);
        Ok(Self {
            halt: halt::pending(&db).await.ok(),
            progress: Progress::read(&db).await?,
            requests: requests::latest(&db).await?,
        })
    }
}

/// What a form asks for. `word` is what must be typed before something that is not taken back.
#[derive(Deserialize)]
pub(super) struct Asked {
    what: String,
    #[serde(default)]
    word: String,
    /// The halt that was shown.
    #[serde(default)]
    halt: String,
    percent: Option<u8>,
}

impl Asked {
    /// The request, or what is wrong with the form.
    fn request(&self) -> Result<Request, &'static str> {
        let typed = |word: &str| self.word.trim() == word;
        match (self.what.as_str(), self.percent) {
            ("accept", _) if !typed("accept") => {
                Err("type the word accept: what is deleted is gone")
            }
            // Never whichever is pending: it may have come after the page was shown.
            ("accept", _) if self.halt.is_empty() => {
                Err("the form names no halt: load the page again")
            }
            ("accept", _) => Ok(Request::Accept { halt: Some(self.halt.clone()) }),
            ("rebuild", _) => Ok(Request::Rebuild),
            ("rollout", Some(percent @ 0..=100)) if typed("rollout") => {
                Ok(Request::Rollout { percent })
            }
            ("rollout", Some(0..=100)) => Err("type the word rollout"),
            ("rollout", _) => Err("the rollout is a number from 0 to 100"),
            _ => Err("there is no such action"),
        }
    }
}

async fn page(who: &Who, admin: &Admin, problem: Option<String>) -> Response {
    let status = admin.health.status();
    let stored = tokio::time::timeout(PATIENCE, Stored::read(admin)).await;
    render(&ControlPage {
        page: Page::new(who, "control", "Control"),
        may_operate: who.may_operate(),
        halted: status.halted,
        percent: status.rollout.percent,
        stored: stored.ok().and_then(Result::ok),
        problem,
    })
}

pub(super) async fn show(View(who): View, State(admin): State<Arc<Admin>>) -> Response {
    page(&who, &admin, None).await
}

/// Asks the daemon, and goes on with what becomes of it.
pub(super) async fn run(
    Operate(who): Operate,
    State(admin): State<Arc<Admin>>,
    Form(asked): Form<Asked>,
) -> Result<Response, Failure> {
    let problem = match asked.request() {
        Err(problem) => problem.to_owned(),
        Ok(request) => match admin.ask(Command::of(request), &who, ANSWERED).await? {
            Queued::Queued { command, .. } => return Ok(requests::see(command)),
            Queued::Refused(reason) => reason,
        },
    };
    Ok(page(&who, &admin, Some(problem)).await)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_not_taken_back_wants_its_word() {
        let check = |what: &str, word: &str, halt: &str, percent: Option<u8>| {
            Asked { what: what.into(), word: word.into(), halt: halt.into(), percent }.request()
        };
        let accepted = Request::Accept { halt: Some("seen".into()) };
        assert_eq!(check("accept", "accept ", "seen", None), Ok(accepted));
        assert_eq!(check("rebuild", "", "", None), Ok(Request::Rebuild));
        assert_eq!(check("rollout", "rollout", "", Some(7)), Ok(Request::Rollout { percent: 7 }));
        for (what, word, halt, percent) in [
            ("accept", "", "seen", None),
            ("accept", "accept", "", None),
            ("rollout", "", "", Some(7)),
            ("rollout", "rollout", "", Some(101)),
            ("rollout", "rollout", "", None),
            ("erase", "erase", "", None),
        ] {
            assert!(check(what, word, halt, percent).is_err(), "{what}");
        }
    }
}
