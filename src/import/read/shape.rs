//! Whether the members of an object are records: a store that keeps them by their ids exports objects of objects.

use std::collections::BTreeSet;
use std::hash::{DefaultHasher, Hash as _, Hasher as _};

/// Names of members that are compared.
const MOST_NAMES: usize = 100;

/// What is known of an object whose members were walked through.
#[derive(Debug, Default)]
pub(super) struct Shape {
    members: u64,
    names: BTreeSet<u64>,
    /// Members that are objects themselves.
    objects: u64,
    /// Those of them whose members have the names that the first's have, or half of them.
    alike: u64,
    first: BTreeSet<u64>,
}

impl Shape {
    pub(super) fn member(&mut self, name: &str) {
        self.members += 1;
        if self.names.len() < MOST_NAMES {
            let mut hasher = DefaultHasher::new();
            name.hash(&mut hasher);
            self.names.insert(hasher.finish());
        }
    }

    /// A member was this object.
    pub(super) fn child(&mut self, child: Self) {
        self.objects += 1;
        if self.objects == 1 {
            self.first = child.names;
            self.alike = 1;
            return;
        }
        let common = self.first.intersection(&child.names).count();
        self.alike += u64::from(common * 2 >= self.first.len().max(child.names.len()));
    }

    /// Two members or more, all of them objects, and most of them alike.
    pub(super) fn has_records(&self) -> bool {
        self.members > 1
            && self.members == self.objects
            && !self.first.is_empty()
            && self.alike * 5 >= self.objects * 4
    }
}
