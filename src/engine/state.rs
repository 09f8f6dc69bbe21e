//! What is fetched for a decision beside source rows.

use rust_decimal::Decimal;
use uuid::Uuid;

use super::at_stake::AtStake;
use crate::facts::Feed;
use crate::rules::NAMESPACE;
use crate::unify::{Conflict, ConflictKind, Severity, scope_of_partner};

/// A value that rows of a feed may share: contact_id of contacts, external_id of payments.
pub type SharedId = (Feed, String);

/// Rows of a shared value that are read to judge it, and sides that are distinguished. More rows than this are judged by
/// representatives: as many sides as evidence shows.
pub const GROUP_LIMIT: usize = 10;

/// A person's state in `tributary.person`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum PersonState {
    /// It has facts and a profile.
    Present,
    /// No fact is left (SPEC §4.5).
    Absent,
    /// Its facts belong to another person by a decision (SPEC §7).
    Merged,
    /// Its profile must reference an auth user who is not there.
    Waiting,
}

impl PersonState {
    /// What it becomes where the person's rows give a profile, or give none (SPEC §4.5).
    #[must_use]
    pub fn with_profile(self, is_given: bool) -> Self {
        match (is_given, self) {
            (true, Self::Absent | Self::Merged) => Self::Present,
            (false, Self::Present) => Self::Absent,
            _ => self,
        }
    }

    /// Reads the stored word.
    #[must_use]
    pub fn parse(word: &str) -> Self {
        match word {
            "absent" => Self::Absent,
            "merged" => Self::Merged,
            "waiting" => Self::Waiting,
            _ => Self::Present,
        }
    }

    /// The stored word.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Present => "present",
            Self::Absent => "absent",
            Self::Merged => "merged",
            Self::Waiting => "waiting",
        }
    }
}

/// A person as recorded.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Person {
    /// Its profile.
    pub profile_id: Uuid,
    /// Whether it has facts.
    pub state: PersonState,
    /// Digest of the profile last written.
    pub profile: Option<Uuid>,
    /// Digest of the enrollments last written.
    pub enrollments: Option<Uuid>,
    /// Whether it is outside of the rollout (SPEC §7a).
    pub outside: bool,
}

/// A conflict as stored, without its evidence.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct StoredConflict {
    /// The kind's word.
    pub kind: String,
    /// `open`, `resolved` or `dismissed`.
    pub status: String,
    /// Of the evidence.
    pub digest: Uuid,
    /// `review` or `info`.
    pub severity: String,
    /// The unit that it was judged from.
    pub scope: String,
    /// A second one.
    pub also: Option<String>,
    /// The money that it is about.
    pub amount: Decimal,
}

/// A conflict as it is to be stored: its evidence is text, as it is digested and sent.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct WantedConflict {
    /// Its identity.
    pub fingerprint: Uuid,
    /// The kind.
    pub kind: ConflictKind,
    /// Who must act.
    pub severity: Severity,
    /// What it is about.
    pub subject: String,
    /// The unit that it was judged from.
    pub scope: String,
    /// A second unit whose judgement closes it.
    pub also: Option<String>,
    /// JSON.
    pub evidence: String,
    /// Of the evidence: a dismissal holds while it stays the same.
    pub digest: Uuid,
    /// The money that it is about; of notes nothing.
    pub at_stake: AtStake,
}

impl WantedConflict {
    /// What is stored for a conflict.
    #[must_use]
    pub fn of(conflict: Conflict, also: Option<String>) -> Self {
        let evidence = conflict.evidence.to_string();
        let also = also.or_else(|| scope_of_partner(&conflict));
        let is_note = conflict.severity == Severity::Info;
        let at_stake = if is_note { AtStake::default() } else { AtStake::of(&conflict.evidence) };
        Self {
            fingerprint: conflict.fingerprint(),
            kind: conflict.kind,
            severity: conflict.severity,
            digest: crate::digest::uuid_v5(&NAMESPACE, evidence.as_bytes()),
            subject: conflict.subject,
            scope: conflict.scope,
            also,
            evidence,
            at_stake,
        }
    }

    /// Whether it is stored so already.
    #[must_use]
    pub fn equals(&self, stored: &StoredConflict) -> bool {
        stored.digest == self.digest
            && stored.severity == self.severity.as_str()
            && stored.scope == self.scope
            && stored.also == self.also
            // That of people is kept with their payments.
            && self.at_stake.amount.is_none_or(|amount| amount == stored.amount)
    }
}
