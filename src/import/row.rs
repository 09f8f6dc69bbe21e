//! From a record to the rows of one load, without the target: references are still old ids.

use std::sync::Arc;

use super::check::{Bound, Checked};
use super::column::{Column, From};
use super::convert::{Kind, value};
use super::ids::plain_id;
use super::plan::Plan;
use super::read::{Record, SAME_ID, Text};
use super::record::{Fields, View};
use super::summary::Refused;

/// Bytes of the longest old id: an index of PostgreSQL holds no entry of more than 2,700, import and table included.
const LONGEST_ID: usize = 1000;

const IS_NULL: &str = "it has no value, and the column may not be NULL";

/// A row to be.
#[derive(Debug, Clone)]
pub(super) struct Row {
    pub(super) origin: Origin,
    /// The old id of the row itself, as the id map holds it.
    pub(super) old_id: String,
    /// One a column of the load. Of references and of ids the old one, until they are translated.
    pub(super) values: Vec<Option<String>>,
    /// The key of its row, as the id map holds it.
    pub(super) new_id: String,
    /// Whether the id map has its old id.
    pub(super) is_known: bool,
    /// Columns whose references became NULL.
    pub(super) nulled: Vec<String>,
    /// Values that were replaced.
    pub(super) replaced: u64,
}

/// Where a row comes from.
#[derive(Debug, Clone)]
pub(super) struct Origin {
    pub(super) record: u64,
    pub(super) element: u32,
    /// As reports name it.
    pub(super) key: String,
    /// The record as it stands in the file.
    pub(super) text: Arc<str>,
}

/// Why a record is no row.
#[derive(Debug, Clone)]
pub(super) struct Refuse {
    pub(super) origin: Origin,
    pub(super) outcome: Refused,
    pub(super) field: Option<String>,
    pub(super) reason: String,
    /// The key of the row or record that it is a duplicate of.
    pub(super) other_key: Option<String>,
    pub(super) other_record: Option<u64>,
}

impl Refuse {
    pub(super) fn new(origin: Origin, outcome: Refused, field: Option<&str>, reason: &str) -> Self {
        let (field, reason) = (field.map(str::to_owned), reason.to_owned());
        Self { origin, outcome, field, reason, other_key: None, other_record: None }
    }
}

/// What a record is for a load.
#[derive(Debug, Clone)]
pub(super) enum Made {
    Row(Row),
    Refused(Refuse),
    Filtered,
}

/// Makes rows of records.
pub(super) struct Maker {
    pub(super) plan: Arc<Plan>,
    pub(super) checked: Arc<Checked>,
    /// Only the key and what the second pass fills.
    pub(super) second: bool,
}

impl Maker {
    /// The rows of a record, which are several where the load takes the elements of a list.
    pub(super) fn make(&self, record: &Record, into: &mut Vec<Made>) {
        let (text, broken) = match &record.text {
            Text::Whole(text) => (text.as_str(), None),
            Text::Broken { text, reason } => (text.as_str(), Some(*reason)),
        };
        let shared: Arc<str> = Arc::from(text);
        let origin = |view: Option<&View<'_>>| Origin {
            record: record.number,
            element: view.map_or(0, |view| view.number),
            key: view.map_or_else(String::new, |view| self.name(view)),
            text: Arc::clone(&shared),
        };
        let refuse =
            |reason| Made::Refused(Refuse::new(origin(None), Refused::Rejected, None, reason));
        let Some(fields) = Fields::read(text).filter(|_| broken.is_none()) else {
            into.push(refuse(broken.unwrap_or("not a JSON object")));
            return;
        };
        let Some(each) = &self.checked.load.each else {
            let view = View::record(fields);
            into.push(self.one(origin(Some(&view)), &view, record));
            return;
        };
        let list = fields.at(each);
        match View::elements(&fields, &list) {
            None => into.push(refuse("its list is none")),
            Some(views) => {
                into.extend(views.iter().map(|view| self.one(origin(Some(view)), view, record)));
            }
        }
    }

    /// How reports name a record.
    fn name(&self, view: &View<'_>) -> String {
        let paths = self
            .plan
            .input(&self.checked.load)
            .map(|input| input.key.as_slice())
            .unwrap_or_default();
        let text = |path: &String| match view.parent {
            Some(record) => record.at(path).text().map(std::borrow::Cow::into_owned),
            None => view.at(path).text().map(std::borrow::Cow::into_owned),
        };
        let texts: Vec<String> = paths.iter().filter_map(text).collect();
        let mut name = texts.join("|");
        // A key is short; a value that only looks like one is not to fill the log.
        if let Some((at, _)) = name.char_indices().nth(200) {
            name.truncate(at);
        }
        if view.number > 0 { format!("{name}#{}", view.number) } else { name }
    }

    fn one(&self, origin: Origin, view: &View<'_>, record: &Record) -> Made {
        if !self.is_taken(view) {
            return Made::Filtered;
        }
        let mut values = Vec::with_capacity(self.checked.columns.len());
        let mut replaced = 0;
        for (at, bound) in self.checked.columns.iter().enumerate() {
            let wanted = match self.second {
                true => bound.deferred || self.checked.key.contains(&at),
                false => !bound.deferred,
            };
            // What the second pass could not read is found in the first: there the record is rejected as a whole.
            if self.second && !wanted {
                values.push(None);
                continue;
            }
            match value(&bound.column, self.kind(at, bound), view, &self.plan.rules) {
                Ok(_) if !wanted => values.push(None),
                // The key has a reason of its own.
                Ok((None, _)) if bound.target.refuses_null && !self.checked.key.contains(&at) => {
                    let field = Some(bound.column.name.as_str());
                    return Made::Refused(Refuse::new(origin, Refused::Rejected, field, IS_NULL));
                }
                Ok((text, was_replaced)) => {
                    replaced += u64::from(was_replaced);
                    values.push(text);
                }
                Err(reason) => {
                    let field = Some(bound.column.name.as_str());
                    return Made::Refused(Refuse::new(origin, Refused::Rejected, field, reason));
                }
            }
        }
        match self.old_id(view, &values) {
            Some(old) => {
                let old_id = self.checked.load.old_id(&old);
                if old_id.len() > LONGEST_ID {
                    let reason = "the key is longer than 1,000 bytes";
                    return Made::Refused(Refuse::new(origin, Refused::Rejected, None, reason));
                }
                if record.same_as.as_ref() == Some(&old_id) {
                    let mut refuse = Refuse::new(origin, Refused::Duplicate, None, SAME_ID);
                    refuse.other_key = Some(old_id);
                    return Made::Refused(refuse);
                }
                Made::Row(Row {
                    origin,
                    old_id,
                    values,
                    new_id: String::new(),
                    is_known: false,
                    nulled: Vec::new(),
                    replaced,
                })
            }
            None => {
                let name =
                    self.checked.key.iter().find(|at| values.get(**at).is_none_or(Option::is_none));
                let name = name.and_then(|at| self.checked.columns.get(*at));
                let name = name.map(|bound| bound.column.name.as_str());
                Made::Refused(Refuse::new(origin, Refused::Rejected, name, "the key is missing"))
            }
        }
    }

    /// What is read of a column: an id that is translated afterwards is a text.
    fn kind<'k>(&self, at: usize, bound: &'k Bound) -> &'k Kind {
        const ID: &Kind = &Kind::Text(None);
        let translated = bound.translation.is_some() || self.checked.own_id == Some(at);
        if translated { ID } else { &bound.target.kind }
    }

    /// The old id of a row: what the key's columns have in the file.
    fn old_id(&self, view: &View<'_>, values: &[Option<String>]) -> Option<String> {
        let texts = self.checked.key.iter().map(|at| {
            let value = values.get(*at)?.as_deref()?;
            let bound = self.checked.columns.get(*at)?;
            // What references name is what stands in the file. Otherwise one day in two forms is one row, and the second
            // record of it a duplicate.
            let translated = bound.translation.is_some() || self.checked.own_id == Some(*at);
            let is_named = self.checked.is_referenced && self.checked.key.len() == 1;
            let written = if translated || !is_named { None } else { written(&bound.column, view) };
            Some(written.unwrap_or_else(|| plain_id(value).into_owned()))
        });
        let texts: Option<Vec<String>> = texts.collect();
        texts.map(|texts| texts.join("|")).filter(|text| !text.is_empty())
    }

    fn is_taken(&self, view: &View<'_>) -> bool {
        self.checked.load.filter.iter().all(|(path, texts)| {
            let raw = view.at(path);
            raw.text().is_some_and(|text| texts.iter().any(|known| *known == text))
        })
    }
}

/// The text of a plain column as it is written, so that an id is found again whatever its type makes of it.
fn written(column: &Column, view: &View<'_>) -> Option<String> {
    match &column.from {
        From::First(paths) => {
            let found = paths.iter().map(|path| view.at(path)).find_map(|raw| {
                raw.text().map(|text| text.trim().to_owned()).filter(|text| !text.is_empty())
            });
            found.filter(|_| column.map.is_empty())
        }
        From::Joined(..) | From::Constant(_) => None,
    }
}
