//! `tributary.operation_log`: what was done, by whom, with what outcome (SPEC §9).
//!
//! An entry is written when an operation begins and completed when it ends. While it is under way, the session that does
//! the work holds an advisory lock that names the entry: one without an outcome whose lock nobody holds was interrupted.
//! Nothing of a customer is in it (P14): what a command says about people is left to its answer.
//!
//! | who calls | how |
//! |---|---|
//! | a command that runs by itself (verify, dry run, validate, cut-over) | [`Journal::begin`], [`Journal::finish`] |
//! | a backfill or rebuild, resumed or not | [`begin_backfill`], [`backfill_done`] in its last commit |
//! | what is one transaction (a decision, a rollback) | [`record`] inside of it |

mod entry;
mod journal;
mod list;

pub use self::entry::{
    backfill_done, begin, begin_backfill, finish, is_there, record, record_command,
};
pub use self::journal::Journal;
pub use self::list::{Entry, Filter, list};

use serde::Serialize;
use serde_json::{Value, json};

use crate::config::Config;
use crate::error::Error;
use crate::rules::NAMESPACE;

const WHAT: &str = "target: writing the operation log";

/// What is logged.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Operation {
    /// The schema was brought up to date.
    Migrate,
    /// The feeds were read.
    Backfill,
    /// What a backfill would do.
    DryRun,
    /// Source, stored rows and target were compared.
    Verify,
    /// Everybody was recomputed.
    Rebuild,
    /// What `verify` found was recomputed.
    Repair,
    /// The share of people who are written was changed.
    Rollout,
    /// Copies of the target tables were taken.
    Backup,
    /// The target tables were brought back to a backup.
    Rollback,
    /// The guarded first day.
    Cutover,
    /// A decision about people or rows, or one taken back.
    Decision,
    /// A guarded delete was accepted.
    Accept,
    /// The validation pack was run.
    Validate,
    /// The stream was paused.
    Pause,
    /// The stream was gone on with.
    Resume,
    /// A person was forgotten.
    Erase,
    /// An export was imported.
    Import,
}

impl Operation {
    /// Every operation.
    pub const ALL: [Self; 17] = [
        Self::Migrate,
        Self::Backfill,
        Self::DryRun,
        Self::Verify,
        Self::Rebuild,
        Self::Repair,
        Self::Rollout,
        Self::Backup,
        Self::Rollback,
        Self::Cutover,
        Self::Decision,
        Self::Accept,
        Self::Validate,
        Self::Pause,
        Self::Resume,
        Self::Erase,
        Self::Import,
    ];

    /// The word in the table and on the command line.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Migrate => "migrate",
            Self::Backfill => "backfill",
            Self::DryRun => "dry-run",
            Self::Verify => "verify",
            Self::Rebuild => "rebuild",
            Self::Repair => "repair",
            Self::Rollout => "rollout",
            Self::Backup => "backup",
            Self::Rollback => "rollback",
            Self::Cutover => "cutover",
            Self::Decision => "decision",
            Self::Accept => "accept",
            Self::Validate => "validate",
            Self::Pause => "pause",
            Self::Resume => "resume",
            Self::Erase => "erase",
            Self::Import => "import",
        }
    }
}

/// How an operation ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Outcome {
    /// As it should.
    Done,
    /// By an error.
    Failed,
    /// It was not begun: a reason and a remedy were given.
    Refused,
    /// In front of something that waits for an operator.
    Halted,
    /// By a signal, to be gone on with.
    Stopped,
}

impl Outcome {
    /// Every word that the log shows, with the two that follow from the lock.
    pub const SHOWN: [&'static str; 7] =
        ["done", "failed", "refused", "halted", "stopped", "running", "interrupted"];

    /// The word in the table.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Done => "done",
            Self::Failed => "failed",
            Self::Refused => "refused",
            Self::Halted => "halted",
            Self::Stopped => "stopped",
        }
    }

    /// How an operation ended that ended with this error.
    #[must_use]
    pub fn of(error: &Error) -> Self {
        match error {
            Error::Refused { .. } => Self::Refused,
            Error::Halted(_) => Self::Halted,
            _ => Self::Failed,
        }
    }
}

/// As what an operation is carried out: user, version, configuration.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Operator {
    /// The login name of the process.
    pub os_user: Option<String>,
    /// Who asked for it, where somebody did.
    pub asked_by: Option<String>,
    /// Of the whole configuration as it is in force, passwords left out.
    pub config_hash: String,
}

impl Operator {
    /// This process with this configuration.
    #[must_use]
    pub fn of(config: &Config) -> Self {
        let text = config.to_toml();
        // Comments say where a value came from.
        let lines: Vec<&str> = text.lines().filter(|line| !line.starts_with('#')).collect();
        let hash = crate::digest::uuid_v5(&NAMESPACE, lines.join("\n").as_bytes());
        Self { os_user: os_user(), asked_by: None, config_hash: hash.to_string() }
    }
}

/// The login name of this process.
#[must_use]
pub fn os_user() -> Option<String> {
    let named = ["USER", "LOGNAME"].into_iter().find_map(|name| std::env::var(name).ok());
    named.map(|name| name.trim().to_owned()).filter(|name| !name.is_empty())
}

/// What is known at the end.
#[derive(Debug, Clone)]
pub struct Finish {
    /// How it ended.
    pub outcome: Outcome,
    /// What it looked at, as the operation counts: rows, people, points.
    pub processed: Option<i64>,
    /// Of them what is as it should be.
    pub succeeded: Option<i64>,
    /// Of them what is not.
    pub failed: Option<i64>,
    /// What went wrong, without values of customers.
    pub errors: Vec<String>,
    /// An object that is merged into that of the beginning.
    pub detail: Value,
}

impl Finish {
    /// The end with this outcome, of which nothing else is known.
    #[must_use]
    pub fn new(outcome: Outcome) -> Self {
        let (processed, succeeded, failed) = (None, None, None);
        Self { outcome, processed, succeeded, failed, errors: Vec::new(), detail: json!({}) }
    }

    /// The end of what failed. Messages of errors hold no value of a row (P14).
    #[must_use]
    pub fn failed(error: &Error) -> Self {
        Self { errors: vec![error.to_string()], ..Self::new(Outcome::of(error)) }
    }

    /// With counts, of which `failed` failed.
    #[must_use]
    pub fn counted(mut self, processed: u64, failed: u64) -> Self {
        let number = |count: u64| Some(i64::try_from(count).unwrap_or(i64::MAX));
        self.processed = number(processed);
        self.succeeded = number(processed.saturating_sub(failed));
        self.failed = number(failed);
        self
    }

    /// With more to know about it: an object.
    #[must_use]
    pub fn with(mut self, detail: Value) -> Self {
        self.detail = detail;
        self
    }
}
