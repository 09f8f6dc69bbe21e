//! Whom and what the rows concern that differ from the source.

use std::collections::HashSet;

use uuid::Uuid;

use crate::engine::{RowId, SharedId};
use crate::facts::{EmailKey, canonical_key};

/// Rows that take the place of stored ones while people are compared: they are held together.
pub(super) const MOST_ROWS: usize = 2_000;
/// Owners that are remembered: beyond that people are not compared at all, as too much of the row store is wrong.
const MOST_OWNERS: usize = 200_000;

/// What must not be compared on the ground of stored rows.
#[derive(Debug, Default)]
pub(super) struct Affected {
    /// The rows, up to [`MOST_ROWS`] and one.
    pub(super) rows: HashSet<RowId>,
    /// Owners of the stored row and of the source's.
    pub(super) owners: HashSet<String>,
    /// Ids that either carries.
    pub(super) shared: HashSet<SharedId>,
    /// The units whose conflicts are judged from them.
    pub(super) scopes: HashSet<String>,
    /// Profiles of persons who are not recorded as they should be: their enrollments look as if they were nobody's.
    pub(super) profiles: HashSet<Uuid>,
    /// Canonical keys of such persons: whom others may be is judged from recorded persons (SPEC §3.3).
    canonical: HashSet<String>,
}

impl Affected {
    /// Adds a row.
    pub(super) fn row(&mut self, id: RowId) {
        if self.rows.len() <= MOST_ROWS {
            self.rows.insert(id);
        }
    }

    /// Adds an owner.
    pub(super) fn owner(&mut self, owner: &str) {
        if self.owners.len() <= MOST_OWNERS {
            self.owners.insert(owner.to_owned());
            self.scopes.insert(format!("owner:{owner}"));
        }
    }

    /// Adds a person who is not recorded as it should be.
    pub(super) fn person(&mut self, key: &str, profile: Option<Uuid>) {
        if self.canonical.len() <= MOST_OWNERS {
            self.canonical.insert(canonical(key));
            self.profiles.extend(profile);
        }
    }

    /// Whether the conflicts of a unit cannot be judged before what differs is repaired.
    pub(super) fn has_scope(&self, scope: &str) -> bool {
        let of_pair = |person| self.canonical.contains(&canonical(person));
        self.scopes.contains(scope) || scope.strip_prefix("pair:").is_some_and(of_pair)
    }

    /// Whether so many rows differ that those of the source cannot be held in place of them.
    pub(super) fn has_too_many_rows(&self) -> bool {
        self.rows.len() > MOST_ROWS
    }

    /// Whether so many owners are affected that they cannot be left out one by one.
    pub(super) fn is_overflowing(&self) -> bool {
        self.owners.len() > MOST_OWNERS
    }
}

fn canonical(key: &str) -> String {
    canonical_key(&EmailKey::trusted(key.to_owned()))
}
