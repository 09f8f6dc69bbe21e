//! What an operator runs: each a command of the command line, asked of the daemon.

use std::sync::Arc;
use std::time::Duration;

use askama::Template;
use axum::Form;
use axum::extract::State;
use axum::response::Response;
use serde::Deserialize;

use super::auth::{Operate, View, Who};
use super::imports::{self, Import};
use super::layout::{Failure, Page, render};
use super::overview::PATIENCE;
use super::progress::Progress;
use super::requests::{self, Shown};
use super::state::Admin;
use crate::ask::Asked as Queued;
use crate::backup::{self, Backup};
use crate::decisions::{Command, Request};
use crate::error::Result;
use crate::halt::Halt;
use crate::jobs::Job;
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
    is_paused: bool,
    progress: Option<Progress>,
    requests: Vec<Shown>,
    backups: Vec<Backup>,
    imports: Vec<Import>,
}

impl Stored {
    async fn read(admin: &Admin) -> Result<Self> {
        let db = Db::new(admin.read().await?);
        Ok(Self {
            halt: halt::pending(&db).await.ok(),
            is_paused: halt::is_paused(&db).await?,
            progress: Progress::read(&db).await?,
            requests: requests::latest(&db).await?,
            backups: backup::list(&db).await?.into_iter().filter(|backup| backup.present).collect(),
            imports: imports::latest(&db).await?,
        })
    }
}

/// What a form asks for. `word` is what must be typed before something that is not taken back.
#[derive(Debug, Default, Deserialize)]
#[serde(default)]
pub(super) struct Asked {
    what: String,
    word: String,
    /// The halt that was shown.
    halt: String,
    percent: String,
    /// A backup.
    run: String,
    discard: bool,
    /// Limits of a cut-over, one a line.
    limits: String,
}

/// What a form comes to.
#[derive(Debug, PartialEq, Eq)]
enum Action {
    /// The one writer does it between two batches.
    Ask(Request),
    /// Long work beside the stream.
    Begin(Job),
}

impl Asked {
    /// What is asked for, or what is wrong with the form.
    fn action(&self) -> Result<Action, &'static str> {
        let typed = |word: &str| self.word.trim() == word;
        let ask = |request| Ok(Action::Ask(request));
        let begin = |job| Ok(Action::Begin(job));
        match self.what.as_str() {
            "accept" if !typed("accept") => Err("type the word accept: what is deleted is gone"),
            // Never whichever is pending: it may have come after the page was shown.
            "accept" if self.halt.is_empty() => Err("the form names no halt: load the page again"),
            "accept" => ask(Request::Accept { halt: Some(self.halt.clone()) }),
            "rebuild" => ask(Request::Rebuild),
            "pause" => ask(Request::Pause),
            "resume" => ask(Request::Resume),
            "rollout" => match self.percent.trim().parse() {
                Ok(percent @ 0..=100) if typed("rollout") => ask(Request::Rollout { percent }),
                Ok(0..=100) => Err("type the word rollout"),
                _ => Err("the rollout is a number from 0 to 100"),
            },
            "dry-run" => begin(Job::PopulateCleanData { dry_run: true }),
            "backfill" if typed("backfill") => begin(Job::PopulateCleanData { dry_run: false }),
            "backfill" => Err("type the word backfill: the target tables are written"),
            "verify" => begin(Job::Verify { dry_run: true }),
            "repair" if typed("repair") => begin(Job::Verify { dry_run: false }),
            "repair" => Err("type the word repair: the target tables are written"),
            "look-back" | "rollback" if self.run.is_empty() => Err("choose a backup"),
            "look-back" => begin(self.rollback(true)),
            "rollback" if typed("rollback") => begin(self.rollback(false)),
            "rollback" => {
                Err("type the word rollback: the target tables become those of the backup")
            }
            "cutover" if typed("cutover") => begin(Job::Cutover { limits: self.limits() }),
            "cutover" => Err("type the word cutover: the target tables are written"),
            _ => Err("there is no such action"),
        }
    }

    fn rollback(&self, dry_run: bool) -> Job {
        let run = self.run.clone();
        Job::RollbackRun { run, dry_run, discard_application_changes: self.discard }
    }

    fn limits(&self) -> Vec<String> {
        let limits = self.limits.split(['\n', ',']).map(str::trim);
        limits.filter(|limit| !limit.is_empty()).map(str::to_owned).collect()
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
    let problem = match asked.action() {
        Err(problem) => problem.to_owned(),
        Ok(Action::Begin(job)) => return Ok(requests::see(admin.begin(&job, &who).await?)),
        Ok(Action::Ask(request)) => match admin.ask(Command::of(request), &who, ANSWERED).await? {
            Queued::Queued { command, .. } => return Ok(requests::see(command)),
            Queued::Refused(reason) => reason,
        },
    };
    Ok(page(&who, &admin, Some(problem)).await)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn asked(what: &str, word: &str) -> Asked {
        let (what, word) = (what.to_owned(), word.to_owned());
        let (halt, percent, run) = ("seen".to_owned(), "7".to_owned(), "r1".to_owned());
        Asked { what, word, halt, percent, run, ..Asked::default() }
    }

    #[test]
    fn what_is_not_taken_back_wants_its_word() {
        for what in ["accept", "rollout", "backfill", "repair", "rollback", "cutover"] {
            assert!(asked(what, "").action().is_err(), "{what}");
            assert!(asked(what, &format!("{what} ")).action().is_ok(), "{what}");
        }
        for what in ["rebuild", "pause", "resume", "dry-run", "verify", "look-back"] {
            assert!(asked(what, "").action().is_ok(), "{what}");
        }
        assert!(asked("erase", "erase").action().is_err());
    }

    #[test]
    fn a_form_comes_to_what_it_shows() {
        let accepted = Request::Accept { halt: Some("seen".into()) };
        assert_eq!(asked("accept", "accept").action(), Ok(Action::Ask(accepted)));
        let rollout = Request::Rollout { percent: 7 };
        assert_eq!(asked("rollout", "rollout").action(), Ok(Action::Ask(rollout)));
        let back = Job::RollbackRun {
            run: "r1".into(),
            dry_run: false,
            discard_application_changes: false,
        };
        assert_eq!(asked("rollback", "rollback").action(), Ok(Action::Begin(back)));
        let without = |change: fn(&mut Asked), what| {
            let mut asked = asked(what, what);
            change(&mut asked);
            asked.action()
        };
        assert!(without(|asked| asked.halt.clear(), "accept").is_err());
        assert!(without(|asked| asked.percent = "101".into(), "rollout").is_err());
        assert!(without(|asked| asked.percent.clear(), "rollout").is_err());
        assert!(without(|asked| asked.run.clear(), "rollback").is_err());
        let limits = without(|asked| asked.limits = " delete>1,\npeople<2 ".into(), "cutover");
        let limits_are = vec!["delete>1".to_owned(), "people<2".to_owned()];
        assert_eq!(limits, Ok(Action::Begin(Job::Cutover { limits: limits_are })));
    }
}
