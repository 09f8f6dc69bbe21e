//! What the source's catalog says of a feed's table, to notice what no message of the stream carries (P18).

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

/// A table at one time.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct Table {
    /// Its object id; empty: there is no table of the name.
    relation: String,
    /// Where it is, and the version of its name.
    name: String,
    /// Place, type and version of the columns that are read, by name; empty: it is gone.
    columns: BTreeMap<String, String>,
    /// The versions of the labels of their enums, by object id.
    labels: BTreeMap<String, String>,
    /// Files, persistence and inheritance of the table and of what belongs to it, by object id.
    parts: BTreeMap<String, String>,
}

/// What became of a table between two times.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Difference {
    /// What may have changed values or rows, in words; empty: nothing, as far as the parts do not matter.
    pub reasons: Vec<&'static str>,
    /// Parts that came: one without a row changes nothing.
    pub added: Vec<u32>,
    /// Partitions that have other files than before: one without a row was truncated.
    pub rewritten: Vec<u32>,
}

impl Difference {
    /// Whether there is none at all.
    #[must_use]
    pub fn is_none(&self) -> bool {
        *self == Self::default()
    }
}

impl Table {
    /// Whether there is such a table.
    #[must_use]
    pub fn is_there(&self) -> bool {
        !self.relation.is_empty()
    }

    /// Whether this is another table than the one of the same name before.
    #[must_use]
    pub fn replaces(&self, before: &Self) -> bool {
        self.is_there() && before.is_there() && self.relation != before.relation
    }

    /// What became of it since.
    #[must_use]
    pub fn since(&self, before: &Self) -> Difference {
        let mut found = Difference::default();
        let mut note = |holds: bool, reason| {
            if holds {
                found.reasons.push(reason);
            }
        };
        note(self.relation != before.relation, "another table has its name");
        note(self.name != before.name, "it was renamed or moved");
        // A column that is read from now on, or no more, is a change of the configuration, not of the table.
        let is_altered = |(name, now): (&String, &String)| {
            before.columns.get(name).is_some_and(|before| before != now)
        };
        note(self.columns.iter().any(is_altered), "columns were altered");
        let is_renamed = |(id, version): (&String, &String)| {
            self.labels.get(id).is_some_and(|now| now != version)
        };
        note(before.labels.iter().any(is_renamed), "labels of an enum were renamed");
        note(before.parts.keys().any(|id| !self.parts.contains_key(id)), "a part is gone");
        for (id, now) in &self.parts {
            let Ok(oid) = id.parse() else { continue };
            match before.parts.get(id) {
                None => found.added.push(oid),
                Some(then) if then == now => {}
                Some(_) => {
                    found.reasons.push("it was rewritten");
                    found.rewritten.push(oid);
                }
            }
        }
        found.reasons.dedup();
        found
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn table(relation: &str, parts: &[(&str, &str)]) -> Table {
        let texts = |pairs: &[(&str, &str)]| {
            pairs.iter().map(|(a, b)| ((*a).to_owned(), (*b).to_owned())).collect()
        };
        Table {
            relation: relation.into(),
            name: "2200/7".into(),
            columns: texts(&[("id", "1/25")]),
            labels: texts(&[("40", "1"), ("41", "1")]),
            parts: texts(parts),
        }
    }

    #[test]
    fn what_may_have_changed_rows_is_told_p18() {
        let before = table("10", &[("10", "0/p/"), ("11", "5/p/3"), ("12", "6/p/3")]);
        let check = |change: &dyn Fn(&mut Table), reasons: &[&str]| {
            let mut now = before.clone();
            change(&mut now);
            assert_eq!(now.since(&before).reasons, reasons);
        };
        check(&|_| {}, &[]);
        check(&|t| t.relation = "20".into(), &["another table has its name"]);
        check(&|t| t.name = "2200/8".into(), &["it was renamed or moved"]);
        check(&|t| drop(t.columns.insert("id".into(), "2/25".into())), &["columns were altered"]);
        check(&|t| drop(t.columns.insert("test".into(), "3/16".into())), &[]);
        check(&|t| t.columns.clear(), &[]);
        check(&|t| drop(t.columns.insert("id".into(), String::new())), &["columns were altered"]);
        check(&|t| drop(t.labels.insert("42".into(), "9".into())), &[]);
        check(
            &|t| drop(t.labels.insert("41".into(), "9".into())),
            &["labels of an enum were renamed"],
        );
        check(&|t| drop(t.parts.remove("12")), &["a part is gone"]);
    }

    #[test]
    fn parts_that_came_or_have_other_files_are_looked_at_p9() {
        let before = table("10", &[("10", "0/p/"), ("11", "5/p/3")]);
        let now = table("10", &[("10", "0/p/"), ("11", "7/p/3"), ("13", "8/p/4")]);
        let found = now.since(&before);
        assert_eq!((found.added, found.rewritten), (vec![13], vec![11]));
        let found = table("10", &[("10", "6/p/")]).since(&table("10", &[("10", "5/p/")]));
        assert_eq!((found.reasons, found.rewritten), (vec!["it was rewritten"], vec![10]));
        assert!(!now.replaces(&before) && table("11", &[]).replaces(&before));
        assert!(!Table::default().replaces(&before));
    }
}
