//! What an operator runs: each a command of the command line, asked of the daemon.

use std::sync::Arc;

use askama::Template;
use axum::Form;
use axum::extract::State;
use axum::response::Response;
use serde::Deserialize;

use super::auth::{Operate, View, Who};
use super::layout::{Failure, Page, render};
use super::state::Admin;
use crate::decisions::{Command, Request};

#[derive(Template)]
#[template(path = "admin/control.html")]
struct ControlPage {
    page: Page,
    may_operate: bool,
    /// What acceptance would delete.
    halted: Option<String>,
    percent: u8,
    /// Of the request that was just made: carried out, and the answer.
    answer: Option<(bool, String)>,
}

/// What a form asks for. `word` is what must be typed before something that is not taken back.
#[derive(Deserialize)]
pub(super) struct Asked {
    what: String,
    #[serde(default)]
    word: String,
    percent: Option<u8>,
}

impl Asked {
    /// The request, or what is wrong with the form.
    fn request(&self) -> Result<Request, &'static str> {
        let typed = |word: &str| self.word.trim() == word;
        match (self.what.as_str(), self.percent) {
            ("accept", _) if typed("accept") => Ok(Request::Accept),
            ("accept", _) => Err("type the word accept: what is deleted is gone"),
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

fn page(who: &Who, admin: &Admin, answer: Option<(bool, String)>) -> Response {
    let status = admin.health.status();
    render(&ControlPage {
        page: Page::new(who, "control", "Control"),
        may_operate: who.may_operate(),
        halted: status.halted,
        percent: status.rollout.percent,
        answer,
    })
}

pub(super) async fn show(View(who): View, State(admin): State<Arc<Admin>>) -> Response {
    page(&who, &admin, None)
}

pub(super) async fn run(
    Operate(who): Operate,
    State(admin): State<Arc<Admin>>,
    Form(asked): Form<Asked>,
) -> Result<Response, Failure> {
    let answer = match asked.request() {
        Err(problem) => (false, problem.to_owned()),
        Ok(request) => {
            let answer = admin.ask(Command::of(request), who.clone()).await?;
            (answer.done, answer.text)
        }
    };
    Ok(page(&who, &admin, Some(answer)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_not_taken_back_wants_its_word() {
        let check = |what: &str, word: &str, percent: Option<u8>| {
            Asked { what: what.into(), word: word.into(), percent }.request()
        };
        assert_eq!(check("accept", "accept ", None), Ok(Request::Accept));
        assert_eq!(check("rebuild", "", None), Ok(Request::Rebuild));
        assert_eq!(check("rollout", "rollout", Some(7)), Ok(Request::Rollout { percent: 7 }));
        for (what, word, percent) in [
            ("accept", "", None),
            ("rollout", "", Some(7)),
            ("rollout", "rollout", Some(101)),
            ("rollout", "rollout", None),
            ("erase", "erase", None),
        ] {
            assert!(check(what, word, percent).is_err(), "{what}");
        }
    }
}
