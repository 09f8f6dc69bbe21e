//! Row changes as versions in the order of their source transactions: what the stream left out filled in, the row
//! rules applied, and what each transaction did to the e-mail key of each row. Pure.

use std::borrow::Cow;
use std::collections::{HashMap, HashSet};

use uuid::Uuid;

use super::change::{RowChange, RowId, StoredRow};
use super::email_change::Transition;
use super::env::Env;
use super::fact::{Fact, digest, incomplete_owner};
use crate::cores;
use crate::facts::{EmailKey, FeedKind, RawRow, SourceKey};

/// A row after one source transaction.
#[derive(Debug, Clone)]
pub struct Version {
    /// Number of the source transaction within the batch.
    pub tx: u32,
    /// The row.
    pub id: RowId,
    /// Its key before, when the change gave it another.
    pub previous: Option<SourceKey>,
    /// `None`: deleted.
    pub row: Option<RowVersion>,
}

/// What a row says after one source transaction.
#[derive(Debug, Clone)]
pub struct RowVersion {
    /// `None`: a value of it is unknown (P6).
    pub fact: Option<Fact>,
    /// The bytes to be stored.
    pub raw: Vec<u8>,
    /// Of `raw`.
    pub digest: Uuid,
}

impl RowVersion {
    /// The e-mail key after decisions and before aliases.
    #[must_use]
    pub fn email(&self) -> Option<&EmailKey> {
        self.fact.as_ref().and_then(Fact::email)
    }
}

/// Leaves out what the backfill's snapshot of the row already contained.
#[must_use]
pub fn not_yet_contained<'a>(
    changes: &'a [RowChange],
    stored: &HashMap<RowId, StoredRow>,
    env: &Env,
) -> Cow<'a, [RowChange]> {
    if env.chunks.is_empty() || changes.iter().all(|change| change.xid.is_none()) {
        return Cow::Borrowed(changes);
    }
    let contained = |id: &RowId, xid| {
        let chunk = stored.get(id).and_then(|stored| stored.chunk);
        chunk.is_some_and(|chunk| env.chunks.contain(chunk, xid))
    };
    let mut left = Vec::with_capacity(changes.len());
    for change in changes {
        let mut change = change.clone();
        let Some(xid) = change.xid else {
            left.push(change);
            continue;
        };
        if !contained(&change.id(), xid) {
            // What was read under the key before is the row that this transaction left there: it must stay.
            let before = change.before();
            if change.previous.is_some() && contained(&before, xid) {
                change.previous = None;
            }
            left.push(change);
        } else if let Some(previous) = change.previous.take() {
            // The new row was read, the old one may have been read before it: it must still go.
            let delete = RowChange { key: previous, row: None, unchanged: vec![], ..change };
            if !contained(&delete.id(), xid) {
                left.push(delete);
            }
        }
    }
    Cow::Owned(left)
}

/// Stored rows whose values are needed because the stream left a value out.
#[must_use]
pub fn needed_values(changes: &[RowChange], stored: &HashMap<RowId, StoredRow>) -> Vec<RowId> {
    let partial = changes.iter().filter(|change| !change.unchanged.is_empty());
    let ids: HashSet<RowId> =
        partial.map(RowChange::before).filter(|id| stored.contains_key(id)).collect();
    ids.into_iter().collect()
}

/// Applies the row rules to changes on all cores. What is still `unchanged` of a change is unknown.
#[must_use]
pub fn derive(changes: &[RowChange], env: &Env) -> Vec<Version> {
    cores::map_of(changes, |change| {
        let id = change.id();
        let row = change.row.as_ref().map(|row| row_version(&id, row, &change.unchanged, env));
        Version { tx: change.tx, id, previous: change.previous.clone(), row }
    })
}

/// The row rules applied to one row.
#[must_use]
pub fn row_version(id: &RowId, row: &RawRow, unknown: &[usize], env: &Env) -> RowVersion {
    let columns = env.feeds.get(id.0).columns();
    let mut limited = Cow::Borrowed(row);
    if columns.exceeds_limit(row) {
        columns.limit(limited.to_mut());
    }
    let row = limited.as_ref();
    let fact = Fact::derive(id, row, env);
    let raw = fact.raw(id, row, unknown, env);
    let digest = digest(&raw);
    RowVersion { fact: unknown.is_empty().then_some(fact), raw, digest }
}

/// The last version of each row, and the rows that are gone at the end.
#[must_use]
pub fn last_versions(versions: Vec<Version>) -> (Vec<Version>, HashSet<RowId>) {
    let mut last: HashMap<RowId, Version> = HashMap::with_capacity(versions.len());
    let mut gone = HashSet::new();
    for version in versions {
        if let Some(previous) = &version.previous {
            let previous = (version.id.0, previous.clone());
            last.remove(&previous);
            gone.insert(previous);
        }
        if version.row.is_some() {
            gone.remove(&version.id);
        } else {
            gone.insert(version.id.clone());
        }
        last.insert(version.id.clone(), version);
    }
    let mut finals: Vec<Version> = last.into_values().filter(|v| v.row.is_some()).collect();
    finals.sort_by(|a, b| a.id.cmp(&b.id));
    (finals, gone)
}

/// What each source transaction did to the e-mail key of each row, in effect (SPEC §4.3).
#[must_use]
pub fn transitions(
    versions: &[Version],
    stored: &HashMap<RowId, StoredRow>,
    env: &Env,
) -> Vec<Transition> {
    if stored.is_empty() && are_new(versions) {
        return Vec::new();
    }
    let mut current: HashMap<RowId, Option<EmailKey>> =
        stored.iter().map(|(id, stored)| (id.clone(), stored.email.clone())).collect();
    let mut all = Vec::new();
    for transaction in versions.chunk_by(|a, b| a.tx == b.tx) {
        let mut open: HashMap<RowId, usize> = HashMap::new();
        for version in transaction {
            let before = (version.id.0, version.previous.as_ref().unwrap_or(&version.id.1).clone());
            let at = open.remove(&before).unwrap_or_else(|| {
                let old = current.get_mut(&before).and_then(Option::take);
                let (contact, new) = (None, None);
                all.push(Transition { tx: version.tx, contact, old, new, decided: false });
                all.len() - 1
            });
            all[at].new = version.row.as_ref().and_then(RowVersion::email).cloned();
            let is_contact = env.feeds.kind(version.id.0) == FeedKind::Contact;
            all[at].contact = is_contact.then(|| env.feeds.source_row(&version.id));
            open.insert(version.id.clone(), at);
        }
        for (id, at) in open {
            current.insert(id, all[at].new.clone());
        }
    }
    all
}

/// Whether no row has two versions: where none is stored either, none had an e-mail key before.
fn are_new(versions: &[Version]) -> bool {
    let mut seen = HashSet::with_capacity(versions.len());
    versions.iter().all(|version| {
        version.previous.is_none() && version.row.is_some() && seen.insert(&version.id)
    })
}

/// Rows whose key changed: the key at the end and the one before, over chains and swaps. A row that is gone at the end
/// is not among them.
#[must_use]
pub fn renamed(changes: &[RowChange]) -> Vec<(RowId, RowId)> {
    // The key that a row had before, by the key that it has so far.
    let mut origins: HashMap<RowId, (RowId, bool)> = HashMap::new();
    for change in changes {
        let known = origins.remove(&change.before()).map(|(origin, _)| origin);
        // A row that was deleted and inserted again under its key is the same row (SPEC §4.3).
        let origin = known.unwrap_or_else(|| change.before());
        origins.insert(change.id(), (origin, change.row.is_some()));
    }
    let is_renamed =
        |(now, (before, is_there))| (is_there && now != before).then_some((now, before));
    let mut renamed: Vec<(RowId, RowId)> = origins.into_iter().filter_map(is_renamed).collect();
    renamed.sort();
    renamed
}

/// The owner's text of a version, `person` being its e-mail key after aliases.
#[must_use]
pub fn owner_of(id: &RowId, version: &RowVersion, person: Option<EmailKey>, env: &Env) -> String {
    match &version.fact {
        Some(fact) => fact.owner(person).as_str().to_owned(),
        None => incomplete_owner(id, env),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::engine::model_tests::stored_row;
    use crate::facts::Feed;

    fn id(key: &str) -> RowId {
        (Feed::new(1), SourceKey(key.into()))
    }

    /// `from>to`, `+inserted` or `-deleted`.
    fn change(text: &str) -> RowChange {
        let row = Some(RawRow::default());
        let read = |key: &str, row| RowChange::read(Feed::new(1), SourceKey(key.into()), row);
        match text.split_once('>') {
            Some((from, to)) => {
                RowChange { previous: Some(SourceKey(from.into())), ..read(to, row) }
            }
            None if text.starts_with('-') => read(&text[1..], None),
            None => read(&text[1..], row),
        }
    }

    /// Two rows exchange their keys by a third one; the chunk of one of them was read before that, that of the other after.
    #[test]
    fn a_row_that_was_read_after_it_got_its_key_stays_p1() {
        let mut env = crate::engine::model_tests::env();
        env.chunks.add(1, "5:5:").unwrap();
        env.chunks.add(2, "9:9:").unwrap();
        let stored = |chunk| stored_row(Some(chunk));
        let check = |a: i64, b: i64, expected: &[&str]| {
            let stored = HashMap::from([(id("a"), stored(a)), (id("b"), stored(b))]);
            let changes: Vec<RowChange> = ["a>t", "b>a", "t>b"]
                .map(|text| RowChange { xid: Some(7), ..change(text) })
                .to_vec();
            let left = not_yet_contained(&changes, &stored, &env);
            let text = |change: &RowChange| match (&change.previous, &change.row) {
                (Some(from), _) => format!("{}>{}", from.0, change.key.0),
                (None, Some(_)) => format!("+{}", change.key.0),
                (None, None) => format!("-{}", change.key.0),
            };
            assert_eq!(left.iter().map(text).collect::<Vec<_>>(), expected, "{a} {b}");
        };
        check(1, 1, &["a>t", "b>a", "t>b"]);
        check(2, 1, &["+t", "-b", "t>b"]);
        check(1, 2, &["a>t", "+a", "-t"]);
        check(2, 2, &["+t", "-t"]);
    }

    #[test]
    fn a_row_keeps_its_past_over_chains_and_swaps_of_keys_spec_4_3() {
        let check = |changes: &[&str], expected: &[(&str, &str)]| {
            let changes: Vec<RowChange> = changes.iter().map(|text| change(text)).collect();
            let expected: Vec<(RowId, RowId)> =
                expected.iter().map(|(now, before)| (id(now), id(before))).collect();
            assert_eq!(renamed(&changes), expected, "{changes:?}");
        };
        check(&["+a", "-b"], &[]);
        check(&["a>b"], &[("b", "a")]);
        check(&["a>b", "b>c"], &[("c", "a")]);
        check(&["a>b", "b>a"], &[]);
        check(&["a>t", "b>a", "t>b"], &[("a", "b"), ("b", "a")]);
        check(&["a>b", "+a"], &[("b", "a")]);
        check(&["a>b", "-b", "+b"], &[("b", "a")]);
        check(&["-b", "a>b"], &[("b", "a")]);
        check(&["-b", "+b"], &[]);
        check(&["a>b", "-b"], &[]);
    }
}
