//! Which array is like a table, and which field like a column, by their names.

use super::Audit;
use super::array::{Array, Field};
use crate::import::catalog::{TargetColumn, TargetTable};

/// A field for a table's column.
pub(super) type Match<'a> = (&'a str, &'a Field);

/// Where the rows of a table come from.
#[derive(Clone, Copy)]
pub(super) struct Source<'a> {
    pub(super) array: &'a Array,
    /// The array whose records hold these as a list, and the list's path.
    pub(super) within: Option<(&'a Array, &'a str)>,
}

impl<'a> Source<'a> {
    /// The input that the plan names.
    pub(super) fn input(&self) -> &'a Array {
        self.within.map_or(self.array, |(parent, _)| parent)
    }

    /// The foreign key of a column to a table that the records around a list become.
    pub(super) fn is_parent(
        &self,
        table: &TargetTable,
        column: &TargetColumn,
        chosen: &[(&TargetTable, Option<Source<'_>>)],
    ) -> bool {
        let Some((parent, _)) = self.within else { return false };
        let key = table.foreign_keys.iter().find(|key| key.columns == [column.name.clone()]);
        key.is_some_and(|key| {
            chosen.iter().any(|(table, source)| {
                table.name.to_string() == key.table
                    && source.is_some_and(|source| {
                        source.within.is_none() && source.array.name == parent.name
                    })
            })
        })
    }
}

/// The array whose name is the table's, else the one that has most of its columns: also among the lists within records.
pub(super) fn source_for<'a>(audit: &'a Audit, table: &TargetTable) -> Option<Source<'a>> {
    let wanted = singular(&plain(&table.name.name));
    let score = |source: &Source<'_>| {
        let name = source.array.name.rsplit('.').next().unwrap_or(&source.array.name);
        let name = singular(&plain(name));
        let is_found = |column: &&TargetColumn| {
            let of_parent = source.within.is_some_and(|(parent, _)| {
                let parent = parent.name.rsplit('.').next().unwrap_or_default();
                plain(&column.name).starts_with(&singular(&plain(parent)))
            });
            of_parent || field_for(source.array, &column.name).is_some()
        };
        let share =
            table.columns.iter().filter(is_found).count() * 100 / table.columns.len().max(1);
        // A table of the same name is meant; of `order_items` the list `items` or `line_items` of an order rather than orders.
        match () {
            () if name == wanted => 1000 + share,
            () if source.within.is_some()
                && (wanted.ends_with(&name) || ends_alike(&name, &wanted)) =>
            {
                200 + share
            }
            () => share,
        }
    };
    let lists = audit.arrays.iter().flat_map(|parent| {
        let lists = parent.lists.iter();
        lists.map(move |(path, array)| Source { array, within: Some((parent, path)) })
    });
    let sources = audit.arrays.iter().map(|array| Source { array, within: None }).chain(lists);
    let scored = sources.filter(|source| !source.array.fields.is_empty());
    let best = scored.map(|source| (score(&source), source)).max_by_key(|(score, _)| *score);
    best.filter(|(score, _)| *score >= 50).map(|(_, source)| source)
}

/// `lineitem` and `orderitem`.
fn ends_alike(a: &str, b: &str) -> bool {
    let common = a.chars().rev().zip(b.chars().rev()).take_while(|(a, b)| a == b).count();
    common >= 4
}

/// The field with a column's name, whatever its case and separators; a path counts as its parts joined, or its last part.
pub(super) fn field_for<'a>(array: &'a Array, column: &str) -> Option<Match<'a>> {
    let wanted = plain(column);
    let is_same = |path: &str| plain(path) == wanted;
    let is_last = |path: &str| path.rsplit('.').next().is_some_and(|last| plain(last) == wanted);
    // The id of something else within the record is not the record's.
    let is_last = |path: &str| is_last(path) && !(path.contains('.') && wanted == "id");
    let is_near = |path: &str| {
        let name = plain(path);
        wanted.len() >= 5 && strsim::osa_distance(&name, &wanted) <= 1
            || trimmed(&name) == trimmed(&wanted)
            || name.len() >= 7 && wanted.ends_with(&name)
    };
    let find = |fits: &dyn Fn(&str) -> bool| {
        let found = array.fields.iter().find(|(path, _)| fits(path));
        found.map(|(path, field)| (path.as_str(), field))
    };
    find(&is_same).or_else(|| find(&is_last)).or_else(|| find(&is_near))
}

/// A name without what languages add to it: `is_active` and `active`, `due_on` and `dueDate`, `created_at` and `created`.
fn trimmed(name: &str) -> &str {
    let name = name.strip_prefix("is").unwrap_or(name);
    let ends = ["at", "on", "date", "time", "timestamp", "id", "number", "no", "nr"];
    ends.iter()
        .find_map(|end| name.strip_suffix(end))
        .filter(|rest| rest.len() >= 3)
        .unwrap_or(name)
}

/// Lower case letters and digits alone.
pub(super) fn plain(name: &str) -> String {
    name.chars().filter(|c| c.is_alphanumeric()).flat_map(char::to_lowercase).collect()
}

pub(super) fn singular(name: &str) -> String {
    match name {
        _ if name.ends_with("ies") && name.len() > 4 => format!("{}y", &name[..name.len() - 3]),
        _ if name.ends_with("sses") => name[..name.len() - 2].to_owned(),
        _ if name.ends_with('s') && !name.ends_with("ss") => name[..name.len() - 1].to_owned(),
        _ => name.to_owned(),
    }
}
