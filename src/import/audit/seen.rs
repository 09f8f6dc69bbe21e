//! Values that were there before, by their hashes, in bounded memory.

use std::collections::HashMap;
use std::hash::{DefaultHasher, Hash as _, Hasher as _};

/// Most values of one field that are kept: some 2 MiB. Later ones are neither counted nor compared.
const MOST: usize = 100_000;

/// The hashes of values, with the record of each.
#[derive(Debug, Default)]
pub(super) struct Seen(HashMap<u64, u32>);

impl Seen {
    /// Adds a value: `None` where it is new, the first record that has it, or nothing where there is no room.
    pub(super) fn add(&mut self, value: u64, record: u64) -> Option<Option<u64>> {
        if let Some(first) = self.0.get(&value) {
            return Some(Some(u64::from(*first)));
        }
        if self.0.len() >= MOST {
            return Some(None);
        }
        self.0.insert(value, u32::try_from(record).unwrap_or(u32::MAX));
        None
    }

    /// Whether the value is there; every value might be where there was no room.
    pub(super) fn contains(&self, value: u64) -> bool {
        self.0.len() >= MOST || self.0.contains_key(&value)
    }
}

/// The hash of a text.
pub(super) fn hash(text: &str) -> u64 {
    let mut hasher = DefaultHasher::new();
    text.hash(&mut hasher);
    hasher.finish()
}
