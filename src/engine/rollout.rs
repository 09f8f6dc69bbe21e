//! Who is in of a rollout (SPEC §7a), and what is withheld of those who are not.

use uuid::Uuid;

use super::diff::OwnerWrite;
use super::feeds::Feeds;
use super::people::Decided;
use super::state::Person;
use crate::rules::NAMESPACE;

/// How far a rollout is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Rollout {
    /// Percent of the people who are in.
    pub percent: u8,
    /// Whether it was narrowed and not everybody is recomputed since: nobody stays in for having been in.
    pub narrowing: bool,
}

impl Default for Rollout {
    fn default() -> Self {
        Self { percent: 100, narrowing: false }
    }
}

/// Rows that are not written.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Withheld {
    /// Profiles.
    pub profiles: i32,
    /// Transactions.
    pub transactions: i32,
    /// Enrollments.
    pub enrollments: i32,
    /// Unique values of one who is in that a row of somebody outside holds.
    pub held: i32,
}

impl Rollout {
    /// Whether everybody is in.
    #[must_use]
    pub fn is_complete(self) -> bool {
        self.percent >= 100
    }

    /// Whether the hash of an email key or source row is below the percentage.
    #[must_use]
    pub fn takes(self, text: &str) -> bool {
        let hash = crate::digest::uuid_v5(&NAMESPACE, format!("rollout:{text}").as_bytes())
            .as_u64_pair()
            .0;
        // The high half is as even as the whole, and the product fits.
        ((hash >> 32) * 100) >> 32 < u64::from(self.percent)
    }

    /// Whether a person is in. `recorded` is the person as recorded before.
    #[must_use]
    pub fn includes(self, key: &str, recorded: Option<&Person>) -> bool {
        let stays = || recorded.is_some_and(|person| !person.outside) && !self.narrowing;
        self.is_complete() || self.takes(key) || stays()
    }

    /// Whether a payment without a person is in.
    #[must_use]
    pub fn includes_payment(self, source_row: &str, outcome: Option<Uuid>) -> bool {
        let was_written = outcome.is_some_and(|outcome| outcome != super::NO_TRANSACTION);
        self.is_complete() || self.takes(source_row) || was_written && !self.narrowing
    }
}

/// Takes out of a write what is not written as its owner is outside, and what it would have noted as written. Beside the person: whether
/// it was in until now.
pub fn withhold(
    write: &mut OwnerWrite,
    decided: &Decided,
    (person, was_in): (Option<&mut Person>, bool),
    rollout: Rollout,
    feeds: &Feeds,
) -> Withheld {
    if rollout.is_complete() || person.as_ref().is_some_and(|person| !person.outside) {
        return Withheld::default();
    }
    let Some(person) = person else { return withhold_payments(write, decided, rollout, feeds) };
    (person.profile, person.enrollments) = (None, None);
    let withheld = Withheld {
        profiles: i32::from(write.profile.is_some()),
        transactions: count(write.transactions.len()),
        enrollments: count(write.enrollments.as_ref().map_or(0, Vec::len)),
        held: 0,
    };
    let known = || decided.payments.iter().filter(|(_, outcome)| outcome.is_some());
    // A payment that came from somebody who is in takes its transaction along.
    let came = known().filter(|(_, outcome)| !was_in && *outcome != Some(super::NO_TRANSACTION));
    let came = came.map(|(row, _)| (row.clone(), decided.transaction_id(row, feeds)));
    *write = OwnerWrite {
        owner: std::mem::take(&mut write.owner),
        rows: std::mem::take(&mut write.rows),
        without: came.collect(),
        outcomes: known().map(|(row, _)| (row.clone(), None)).collect(),
        ..OwnerWrite::default()
    };
    withheld
}

/// Of payments without a person each is in or not by itself.
fn withhold_payments(
    write: &mut OwnerWrite,
    decided: &Decided,
    rollout: Rollout,
    feeds: &Feeds,
) -> Withheld {
    let is_out = |row: &super::RowId| {
        let outcome = decided.payments.iter().find(|(id, _)| id == row).and_then(|(_, o)| *o);
        !rollout.includes_payment(&feeds.source_row(row), outcome)
    };
    let before = write.transactions.len();
    write.transactions.retain(|transaction| !is_out(&transaction.row));
    write.without.retain(|(row, _)| !is_out(row));
    write.outcomes.retain(|(row, _)| !is_out(row));
    // What was written of them before counts no more, or they would stay in.
    let known = decided.payments.iter().filter(|(row, outcome)| outcome.is_some() && is_out(row));
    write.outcomes.extend(known.map(|(row, _)| (row.clone(), None)));
    Withheld { transactions: count(before - write.transactions.len()), ..Withheld::default() }
}

fn count(rows: usize) -> i32 {
    i32::try_from(rows).unwrap_or(i32::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::engine::PersonState;

    #[test]
    fn a_wider_rollout_takes_whom_the_narrower_one_took_spec_7a() {
        let at = |percent| Rollout { percent, narrowing: false };
        let keys: Vec<String> = (0..2_000).map(|n| format!("p{n}@example.com")).collect();
        for (percent, expected) in
            [(0, 0..=0), (10, 140..=260), (50, 900..=1_100), (100, 2_000..=2_000)]
        {
            let taken: Vec<&String> = keys.iter().filter(|key| at(percent).takes(key)).collect();
            assert!(expected.contains(&taken.len()), "{percent}: {}", taken.len());
            assert!(taken.iter().all(|key| at(percent.max(60)).takes(key) || percent > 60));
        }
    }

    #[test]
    fn who_was_in_stays_in_until_it_is_narrowed_spec_7a() {
        let person = |outside| Person {
            profile_id: Uuid::nil(),
            state: PersonState::Present,
            profile: None,
            enrollments: None,
            outside,
        };
        let (none, narrowed) =
            (Rollout { percent: 0, narrowing: false }, Rollout { percent: 0, narrowing: true });
        assert!(none.includes("a@example.com", Some(&person(false))));
        assert!(!none.includes("a@example.com", Some(&person(true))));
        assert!(!none.includes("a@example.com", None));
        assert!(!narrowed.includes("a@example.com", Some(&person(false))));
        assert!(Rollout::default().includes("a@example.com", Some(&person(true))));
        assert!(none.includes_payment("xendit:1", Some(Uuid::max())));
        assert!(!none.includes_payment("xendit:1", Some(crate::engine::NO_TRANSACTION)));
    }
}
