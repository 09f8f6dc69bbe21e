//! The plan: which records of the files become which rows, as TOML. All problems of a plan are reported together, with
//! the nearest name where one is unknown.

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;

use jiff::tz::TimeZone;
use toml::{Table, Value};

use super::column::{Column, column};
pub use super::input::{Dialect, Encoding, Format, Input};
use super::input::{input, one_or_more};
use crate::config::TableName;
use crate::config::mapping::table_name;
use crate::config::section::{Problems, Section, expect, nearest, text, texts};
use crate::error::{Error, Result};
use crate::facts::parse_zone;
use crate::rules::{DateOrder, Rules};

/// Records of one transaction, where the plan names no number: a thousand rows are written in some 20 ms, so that an
/// interrupted run repeats little.
const BATCH: u32 = 1000;

/// What becomes of a record whose reference leads to nothing.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum OnOrphan {
    /// It is left out and logged.
    Skip,
    /// The reference becomes NULL, and is logged.
    Null,
}

/// Records of one input into one table.
#[derive(Debug, Clone)]
pub struct Load {
    /// `students to public.users`: how messages and the stored cursor name it.
    pub name: String,
    /// Its input.
    pub from: String,
    /// A list within each record, whose elements become rows.
    pub each: Option<String>,
    /// The table.
    pub into: TableName,
    /// The columns that identify a row; none: the primary key.
    pub key: Option<Vec<String>>,
    /// Only records with one of these texts at this path.
    pub filter: Vec<(String, Vec<String>)>,
    /// Whether it only fills columns of rows that another load makes.
    pub merge: bool,
    /// In front of old ids, where two inputs of one table number their records alike.
    pub ids: Option<String>,
    /// Columns whose sums are compared.
    pub sums: Vec<String>,
    /// The columns that it writes.
    pub columns: Vec<Column>,
}

impl Load {
    /// The table as id map and references name it.
    #[must_use]
    pub fn table(&self) -> String {
        self.into.to_string()
    }

    /// The old id of a key of this load as the id map holds it.
    #[must_use]
    pub fn old_id(&self, key: &str) -> String {
        let space =
            if self.merge && self.ids.is_none() { Some(&self.name) } else { self.ids.as_ref() };
        space.map_or_else(|| key.to_owned(), |space| format!("{space}:{key}"))
    }

    /// The fields of the input that it reads, by their paths.
    pub fn paths(&self) -> impl Iterator<Item = &str> {
        let columns = self.columns.iter().flat_map(Column::paths);
        let filter = self.filter.iter().map(|(path, _)| path.as_str());
        columns.chain(filter).chain(self.each.as_deref())
    }
}

/// A plan whose names were not yet held against files and tables.
#[derive(Debug, Clone)]
pub struct Plan {
    /// The import's name: ids, progress and copies belong to it.
    pub import: String,
    /// Zone of times without one, and order of slashed dates (SPEC §3.7).
    pub rules: Rules,
    /// Records of one transaction.
    pub batch: usize,
    /// By name.
    pub inputs: BTreeMap<String, Input>,
    /// Whole inputs that are left out on purpose, with the reason.
    pub left_out: BTreeMap<String, String>,
    /// In the order of the file.
    pub loads: Vec<Load>,
    /// The text itself: another plan is another run.
    pub text: String,
}

impl Plan {
    /// Reads a plan.
    ///
    /// # Errors
    /// [`Error::Config`] with every problem that was found.
    pub fn load(path: &Path) -> Result<Self> {
        let name = path.display();
        let text = std::fs::read_to_string(path)
            .map_err(|error| Error::Config(format!("{name} cannot be read: {error}")))?;
        Self::parse(&text, &name.to_string())
    }

    /// Reads the text of a plan.
    ///
    /// # Errors
    /// As [`Plan::load`].
    pub fn parse(text: &str, name: &str) -> Result<Self> {
        let table: Table = text.parse().map_err(|error: toml::de::Error| {
            let line = error.span().and_then(|span| text.get(..span.start));
            let line = line.map_or(0, |before| before.matches('\n').count() + 1);
            Error::Config(format!("{name}:{line}: {}", error.message()))
        })?;
        let mut problems = Problems::default();
        let plan = read(&table, text, &mut problems);
        match plan {
            Some(plan) if problems.reported.is_empty() => Ok(plan),
            _ => Err(refusal(name, &problems)),
        }
    }

    /// The load that fills a table with new rows, where a reference names the table.
    pub fn loads_of<'p>(&'p self, table: &'p str) -> impl Iterator<Item = &'p Load> {
        self.loads.iter().filter(move |load| load.table() == table && !load.merge)
    }

    /// The input of a load.
    #[must_use]
    pub fn input(&self, load: &Load) -> Option<&Input> {
        self.inputs.get(&load.from)
    }
}

/// All problems of a plan as one error.
pub(super) fn refusal(name: &str, problems: &Problems) -> Error {
    Error::Config(format!("{name}:\n  {}", problems.reported.join("\n  ")))
}

fn read(table: &Table, text: &str, problems: &mut Problems) -> Option<Plan> {
    let mut root = Section::root(table);
    let import = root.text("import", problems).map(str::to_owned);
    if import.is_none() && table.get("import").is_none() {
        problems.add("import", "is missing: the name that ids and progress are kept under");
    }
    let rules = rules(&mut root, problems);
    let batch = root.number("batch", 1..=20_000, problems).unwrap_or(BATCH);
    let mut inputs = BTreeMap::new();
    let mut section = root.section("inputs", problems);
    for (name, value) in section.entries() {
        let path = section.path_of(name);
        let wanted = format!("a table: [{path}]");
        if let Some(table) = expect(value.as_table(), value, &path, &wanted, problems) {
            inputs.insert(name.to_owned(), input(name, Section::element(path, table), problems));
        }
    }
    let left_out = left_out(&mut root.section("left_out", problems), problems);
    let loads = loads(&mut root, problems);
    root.finish(problems);
    for load in &loads {
        // An input without a table of its own has the defaults.
        let default = || {
            input(
                &load.from,
                Section::element(String::new(), &Table::new()),
                &mut Problems::default(),
            )
        };
        inputs.entry(load.from.clone()).or_insert_with(default);
    }
    check_names(&inputs, &left_out, &loads, problems);
    let batch = usize::try_from(batch).ok()?;
    Some(Plan { import: import?, rules, batch, inputs, left_out, loads, text: text.to_owned() })
}

fn rules(root: &mut Section<'_>, problems: &mut Problems) -> Rules {
    let mut rules = Rules::default();
    if let Some(name) = root.text("zone", problems) {
        match parse_zone(name) {
            Some(zone) => rules.zone = zone,
            None => problems
                .add("zone", "is no time zone; write one such as \"Asia/Manila\" or \"UTC\""),
        }
    }
    match root.text("date_order", problems) {
        None | Some("month_first") => {}
        Some("day_first") => rules.date_order = DateOrder::DayFirst,
        Some(other) => {
            let hint = nearest(other, ["month_first", "day_first"].into_iter());
            problems.add("date_order", format!("is unknown{hint}"));
        }
    }
    debug_assert!(rules.zone != TimeZone::unknown());
    rules
}

fn left_out(section: &mut Section<'_>, problems: &mut Problems) -> BTreeMap<String, String> {
    let mut found = BTreeMap::new();
    for (name, value) in section.entries() {
        let path = section.path_of(name);
        if let Some(reason) = text(value, &path, problems) {
            found.insert(name.to_owned(), reason.to_owned());
        }
    }
    found
}

fn loads(root: &mut Section<'_>, problems: &mut Problems) -> Vec<Load> {
    let Some(value) = root.value("loads") else {
        problems.add("loads", "is missing; write [[loads]] with from, into and columns");
        return Vec::new();
    };
    let list = expect(value.as_array(), value, "loads", "a list of tables: [[loads]]", problems);
    let mut found = Vec::new();
    for (index, value) in list.into_iter().flatten().enumerate() {
        let at = format!("loads[{index}]");
        if let Some(table) = expect(value.as_table(), value, &at, "a table", problems) {
            found.extend(load(at, table, problems));
        }
    }
    found
}

fn load(at: String, table: &Table, problems: &mut Problems) -> Option<Load> {
    let mut section = Section::element(at.clone(), table);
    let from = section.text("from", problems).map(str::to_owned);
    let into_at = section.path_of("into");
    let into = section.text("into", problems).map(table_name);
    for (key, found) in [("from", from.is_some()), ("into", into.is_some())] {
        if !found && !table.contains_key(key) {
            problems.add(&section.path_of(key), "is missing");
        }
    }
    let into = match into? {
        Ok(into) => into,
        Err(problem) => {
            problems.add(&into_at, problem);
            return None;
        }
    };
    let from = from?;
    let each = section.text("each", problems).map(str::to_owned);
    let name = each.as_ref().map_or_else(|| from.clone(), |each| format!("{from}.{each}"));
    let at = format!("{at} ({name} to {into})");
    let mut named = Section::element(at, table);
    for known in ["from", "into", "each"] {
        named.value(known);
    }
    let key = one_or_more(&mut named, "key", problems);
    let mut load = Load {
        name: format!("{name} to {into}"),
        from,
        each,
        into,
        key,
        filter: filter(&mut named, problems),
        merge: named.flag("merge", problems).unwrap_or_default(),
        ids: named.text("ids", problems).map(str::to_owned),
        sums: named.texts("sums", problems).unwrap_or_default(),
        columns: Vec::new(),
    };
    let mut columns = named.section("columns", problems);
    for (name, value) in columns.entries() {
        let at = columns.path_of(name);
        load.columns.extend(column(name, value, at, problems));
    }
    if load.columns.is_empty() {
        problems.add(columns.path(), "names no column");
    }
    named.finish(problems);
    Some(load)
}

/// `where = { role = ["teacher", "head"] }`.
fn filter(section: &mut Section<'_>, problems: &mut Problems) -> Vec<(String, Vec<String>)> {
    let mut filter = Vec::new();
    let mut section = section.section("where", problems);
    for (path, value) in section.entries() {
        let at = section.path_of(path);
        let values = match value {
            Value::String(text) => Some(vec![text.clone()]),
            Value::Boolean(flag) => Some(vec![flag.to_string()]),
            Value::Integer(number) => Some(vec![number.to_string()]),
            value => texts(value, &at, problems),
        };
        filter.extend(values.map(|values| (path.to_owned(), values)));
    }
    filter
}

fn check_names(
    inputs: &BTreeMap<String, Input>,
    left_out: &BTreeMap<String, String>,
    loads: &[Load],
    problems: &mut Problems,
) {
    let used: BTreeSet<&str> = loads.iter().map(|load| load.from.as_str()).collect();
    for name in inputs.keys().filter(|name| !used.contains(name.as_str())) {
        let hint = nearest(name, used.iter().copied());
        problems.add(&format!("inputs.{name}"), format!("no load reads it{hint}"));
    }
    for name in left_out.keys().filter(|name| used.contains(name.as_str())) {
        problems.add(&format!("left_out.{name}"), "a load reads it");
    }
    let mut names = BTreeSet::new();
    for load in loads {
        if !names.insert(&load.name) {
            problems.add("loads", format!("{} stands there twice", load.name));
        }
        for column in &load.sums {
            if !load.columns.iter().any(|known| known.name == *column) {
                let hint = nearest(column, load.columns.iter().map(|known| known.name.as_str()));
                problems.add("loads", format!("{}: sums: no column {column:?}{hint}", load.name));
            }
        }
    }
}
