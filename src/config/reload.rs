//! What may change while the daemon runs, and what needs a restart. Pure.

use toml::{Table, Value};

/// What takes effect at a reload: these values, and all below them. Everything else is part of what the daemon opened, recorded
/// or computed with at its start.
const LIVE: [&str; 8] = [
    "admin",
    "log",
    "run.batch_rows",
    "run.chunk_rows",
    "guard",
    "verify",
    "retention",
    "source.give_up_slot_mb",
];

/// The paths of the values in which two files differ.
#[derive(Debug, Default, PartialEq, Eq)]
pub struct Changes {
    /// Those that take effect.
    pub live: Vec<String>,
    /// Those that need a restart.
    pub fixed: Vec<String>,
}

impl Changes {
    /// Compares two texts, both of which are valid configurations.
    #[must_use]
    pub fn between(old: &str, new: &str) -> Self {
        let table = |text: &str| text.parse::<Table>().unwrap_or_default();
        let mut changes = Self::default();
        let (old, new) = (Value::Table(table(old)), Value::Table(table(new)));
        changes.compare(&mut Vec::new(), Some(&old), Some(&new));
        changes
    }

    fn compare(&mut self, path: &mut Vec<String>, old: Option<&Value>, new: Option<&Value>) {
        if old == new {
            return;
        }
        let table = |value: Option<&Value>| match value {
            None => Some(Table::new()),
            Some(value) => value.as_table().cloned(),
        };
        let (Some(old), Some(new)) = (table(old), table(new)) else {
            return self.note(&path.join("."));
        };
        let added = new.keys().filter(|key| !old.contains_key(*key));
        for key in old.keys().chain(added) {
            path.push(key.clone());
            self.compare(path, old.get(key), new.get(key));
            path.pop();
        }
    }

    fn note(&mut self, path: &str) {
        let is_live = LIVE.iter().any(|live| {
            path.strip_prefix(live).is_some_and(|rest| rest.is_empty() || rest.starts_with('.'))
        });
        if is_live { &mut self.live } else { &mut self.fixed }.push(path.to_owned());
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_may_change_is_told_apart_from_what_needs_a_restart() {
        let old = "[run]\nbatch_rows = 10\nmigrate = true\n[guard]\ndelete_rows = 5\n\
                   [feeds.a.columns]\nemail = [\"x\"]\n[source]\nurl = \"u\"";
        let table = [
            (old, vec![], vec![]),
            (
                "[run]\nbatch_rows = 10\n",
                vec!["guard.delete_rows"],
                vec!["run.migrate", "feeds.a.columns.email", "source.url"],
            ),
            (
                "[run]\nbatch_rows = 11\nmigrate = true\n[guard]\ndelete_rows = 5\ndelete_percent = 2\n\
                 [log]\nlevel = \"debug\"\n[feeds.a.columns]\nemail = [\"x\"]\n[source]\nurl = \"u\"",
                vec!["run.batch_rows", "guard.delete_percent", "log.level"],
                vec![],
            ),
        ];
        for (new, live, fixed) in table {
            let mut changes = Changes::between(old, new);
            let sorted = |names: Vec<&str>| {
                let mut names: Vec<String> = names.into_iter().map(str::to_owned).collect();
                names.sort();
                names
            };
            changes.live.sort();
            changes.fixed.sort();
            assert_eq!(changes, Changes { live: sorted(live), fixed: sorted(fixed) }, "{new}");
        }
    }

    #[test]
    fn a_value_that_becomes_a_table_is_one_change() {
        let changes = Changes::between("guard = 1\nx = 2", "[guard]\ndelete_rows = 1\n[x]\ny = 2");
        assert_eq!(changes.live, ["guard"]);
        assert_eq!(changes.fixed, ["x"]);
    }
}
