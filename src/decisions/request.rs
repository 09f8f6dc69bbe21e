//! What operators ask for, as it is queued.

use serde::{Deserialize, Serialize};

use crate::apply::Repair;
use crate::store::operation_log::Operation;

/// What an operator asks for.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "do", rename_all = "snake_case")]
pub enum Request {
    /// The facts of `from` belong to person `to`.
    Alias {
        /// The address that is given up.
        from: String,
        /// The address that remains.
        to: String,
    },
    /// These two are different people.
    Separate {
        /// One address.
        a: String,
        /// The other one.
        b: String,
    },
    /// Use this address for that source row.
    Email {
        /// `<feed>:<key>`.
        row: String,
        /// The address.
        address: String,
    },
    /// This payment is for that product.
    Product {
        /// `<feed>:<key>`.
        row: String,
        /// The product's code.
        code: String,
    },
    /// These conflicts need nothing, as long as their evidence is the same.
    Dismiss {
        /// Their ids.
        conflicts: Vec<i64>,
    },
    /// Take a decision back.
    Revert {
        /// Its id.
        decision: i64,
    },
    /// Apply the guarded delete that the daemon halted in front of (P9).
    Accept {
        /// The identity of the halt that was shown ([`crate::halt::Halt::identity`]); `None`: whichever is pending.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        halt: Option<String>,
    },
    /// Apply nothing of the stream.
    Pause,
    /// Go on with the stream.
    Resume,
    /// Recompute everybody from the stored facts.
    Rebuild,
    /// Write the target rows of this percentage of the people (SPEC §7a).
    Rollout {
        /// From 0 to 100.
        percent: u8,
    },
    /// Forget a person.
    Erase {
        /// An address of it.
        email: String,
    },
    /// Recompute what `verify` found to differ.
    Repair(Repair),
    /// Bring the target tables back to a backup, and halt.
    Rollback {
        /// The backup.
        run: String,
        /// Whether what the application wrote since may be lost.
        discard: bool,
    },
    /// End the halt after a rollback, and read the feeds again.
    Backfill,
    /// Take a backup and read the feeds again, also where nothing was rolled back.
    Reconcile,
    /// Say what these decisions would change, one after another, and change nothing. The answer is a
    /// [`super::preview::Preview`] as JSON; it names people, and goes when it is read.
    Preview {
        /// The decisions.
        of: Vec<Command>,
    },
}

/// A request with who made it and why.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Command {
    /// What.
    pub request: Request,
    /// Why.
    pub note: Option<String>,
    /// The conflict that it resolves.
    pub conflict: Option<i64>,
}

impl Command {
    /// A request without a note, about no conflict.
    #[must_use]
    pub fn of(request: Request) -> Self {
        Self { request, note: None, conflict: None }
    }
}

impl Request {
    /// As what it is logged.
    #[must_use]
    pub fn operation(&self) -> Operation {
        match self {
            Self::Accept { .. } => Operation::Accept,
            Self::Pause => Operation::Pause,
            Self::Resume => Operation::Resume,
            Self::Rebuild => Operation::Rebuild,
            Self::Repair(_) => Operation::Repair,
            Self::Rollback { .. } => Operation::Rollback,
            Self::Rollout { .. } => Operation::Rollout,
            Self::Erase { .. } => Operation::Erase,
            Self::Backfill | Self::Reconcile => Operation::Backfill,
            _ => Operation::Decision,
        }
    }

    /// What the log counts of it: conflicts that are dismissed, units that are repaired, else the request itself.
    #[must_use]
    pub(super) fn units(&self) -> u64 {
        match self {
            Self::Dismiss { conflicts } => conflicts.len() as u64,
            Self::Repair(what) => what.len() as u64,
            _ => 1,
        }
    }

    /// Whether anything is other than before once it is carried out.
    #[must_use]
    pub fn changes_something(&self) -> bool {
        !matches!(self, Self::Preview { .. })
    }

    /// What the log keeps of it: which kind, and nothing about whom (P14).
    pub(super) fn logged(&self) -> serde_json::Value {
        let kind = serde_json::to_value(self).ok().and_then(|value| value.get("do").cloned());
        serde_json::json!({ "request": kind })
    }
}

/// Whether a request touches nothing but conflicts and the halt, and so needs neither facts nor source, nor the rules.
#[must_use]
pub fn needs_target_alone(request: &Request) -> bool {
    matches!(
        request,
        Request::Dismiss { .. }
            | Request::Accept { .. }
            | Request::Rollback { .. }
            | Request::Pause
            | Request::Resume
    )
}

/// Whether a request may be carried out while the target is rolled back.
#[must_use]
pub fn may_follow_a_rollback(request: &Request) -> bool {
    needs_target_alone(request) || matches!(request, Request::Backfill | Request::Reconcile)
}
