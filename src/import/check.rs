//! The plan held against files and target catalog, before anything is written.

use std::collections::{BTreeMap, BTreeSet};

use crate::pg::Client;

use super::catalog::{Catalog, TargetColumn, TargetTable, table_names};
use super::column::{Column, From, Reference};
use super::convert::Kind;
use super::order::{Node, order};
use super::plan::{Load, OnOrphan, Plan, refusal};
use super::record::first_field;
use super::survey::{Found, Survey};
use crate::config::mapping::table_name;
use crate::config::section::{Problems, nearest};
use crate::error::{Error, Result};

/// How a reference is translated.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Translation {
    /// Through the id map of a table that this plan fills.
    Ids { table: String, ids: Option<String> },
    /// By a column of the referenced table, to its key.
    Column { table: String, by: String, by_cast: String, key: String },
}

/// A column of a load that is known to be right.
#[derive(Debug, Clone)]
pub(super) struct Bound {
    pub(super) column: Column,
    pub(super) target: TargetColumn,
    pub(super) translation: Option<Translation>,
    /// Filled in the second pass.
    pub(super) deferred: bool,
}

impl Bound {
    pub(super) fn orphan(&self) -> OnOrphan {
        self.column.references.as_ref().map_or(OnOrphan::Skip, |reference| reference.orphan)
    }
}

/// A load that is known to be right.
#[derive(Debug, Clone)]
pub(super) struct Checked {
    pub(super) load: Load,
    pub(super) table: TargetTable,
    pub(super) columns: Vec<Bound>,
    /// Places of the key's columns among `columns`.
    pub(super) key: Vec<usize>,
    /// The key's column whose values are made from old ids.
    pub(super) own_id: Option<usize>,
    /// Whether references of the plan lead to its rows by their old ids, as these are written.
    pub(super) is_referenced: bool,
}

/// Everything that a run needs to know of the target.
#[derive(Debug)]
pub(super) struct Prepared {
    /// In the order in which they are carried out.
    pub(super) loads: Vec<Checked>,
}

/// Checks a plan.
///
/// # Errors
/// [`Error::Config`] with every problem.
pub(super) async fn check(
    plan: &Plan,
    name: &str,
    survey: &Survey,
    client: &Client,
) -> Result<Prepared> {
    let mut problems = Problems::default();
    files(plan, survey, &mut problems);
    let catalog = catalog(plan, client, &mut problems).await?;
    let mut checked: Vec<Checked> = Vec::new();
    for load in &plan.loads {
        if let Some(table) = catalog.get(&load.table()) {
            checked.extend(bind(plan, load, table, &catalog, &mut problems));
        }
    }
    if !problems.reported.is_empty() {
        return Err(refusal(name, &problems));
    }
    let nodes: Vec<Node> = checked.iter().map(node).collect();
    let order = order(&nodes).map_err(|names| {
        let text = "reference each other in a circle, and no column of it may be NULL with orphan = \"null\"";
        Error::Config(format!("{name}:\n  loads: {names} {text}"))
    })?;
    for (load, column) in &order.deferred {
        if let Some(bound) = checked.get_mut(*load).and_then(|load| load.columns.get_mut(*column)) {
            bound.deferred = true;
        }
    }
    let loads = order.loads.iter().filter_map(|at| checked.get(*at).cloned()).collect();
    Ok(Prepared { loads })
}

fn files(plan: &Plan, survey: &Survey, problems: &mut Problems) {
    let others = || survey.others.keys().map(String::as_str);
    for (name, input) in &plan.inputs {
        match survey.inputs.get(name) {
            Some(found) => fields(plan, name, found, problems),
            None if input.optional || survey.has_rejects => {}
            None => {
                let path = input.path.join(".");
                let hint = if survey.objects.contains(&path) {
                    "; an object is there: members = true takes its members as records".to_owned()
                } else {
                    nearest(&path, others())
                };
                problems.add(&format!("inputs.{name}"), format!("is in none of the files{hint}"));
            }
        }
    }
    let is_known = |name: &&String| {
        plan.left_out.contains_key(*name)
            || plan.inputs.values().any(|input| input.path.join(".") == **name)
    };
    for name in survey.objects.iter().filter(|name| !is_known(name)) {
        let text = "is an object in the files whose members look like records, and not in the plan; load it with \
                    members = true, or name it with the reason in [left_out]";
        problems.add(name, text);
    }
    for (name, records) in &survey.others {
        if !plan.left_out.contains_key(name) {
            let hint = nearest(name, plan.inputs.keys().map(String::as_str));
            let text = "is in the files and not in the plan; load it, or name it with the reason in [left_out]";
            problems.add(name, format!("{text} ({records} records){hint}"));
        }
    }
}

/// Every field that is read is there, and every field that is there is read or left out on purpose.
fn fields(plan: &Plan, name: &str, found: &Found, problems: &mut Problems) {
    let Some(input) = plan.inputs.get(name) else { return };
    if found.fields.is_empty() {
        return;
    }
    let known = || found.fields.keys().map(String::as_str);
    let mut used: BTreeSet<&str> = input.key.iter().map(String::as_str).collect();
    for load in plan.loads.iter().filter(|load| load.from == name) {
        // Of a list's elements nothing is known beforehand but what they read of their record.
        let of_record = |path: &&str| load.each.is_none() || path.starts_with("..");
        let paths = load.columns.iter().flat_map(lists);
        for (column, paths) in paths {
            let of_record: Vec<&str> = paths.iter().copied().filter(of_record).collect();
            let fields =
                of_record.iter().map(|path| path.trim_start_matches("..").trim_start_matches('.'));
            let fields: Vec<&str> = fields.filter(|path| *path != "#").collect();
            let is_there = |path: &&str| {
                found.fields.contains_key(*path) || found.fields.contains_key(first_field(path))
            };
            if let Some(missing) = fields.first().filter(|_| !fields.iter().any(is_there)) {
                let hint = nearest(missing, known());
                let text = format!("no record of {name} has a field {missing:?}{hint}");
                problems.add(&format!("{}: {column}", load.name), text);
            }
            used.extend(fields.iter().flat_map(|path| [*path, first_field(path)]));
        }
        used.extend(load.each.as_deref().map(first_field));
        used.extend(load.filter.iter().map(|(path, _)| first_field(path)));
    }
    if input.left_out.iter().any(|name| name == "*") {
        return;
    }
    used.extend(input.left_out.iter().map(String::as_str));
    for (field, count) in found.fields.iter().filter(|(field, _)| !used.contains(field.as_str())) {
        let text = format!(
            "the field {field:?} is in {count} of {} records and not in the plan; load it, or name it in left_out",
            found.records
        );
        problems.add(&format!("inputs.{name}"), text);
    }
}

/// What a column reads, each as alternatives of which one must be there.
fn lists(column: &Column) -> Vec<(&str, Vec<&str>)> {
    let mut lists = Vec::new();
    match &column.from {
        From::First(paths) | From::Joined(paths, _) => {
            lists.push((column.name.as_str(), paths.iter().map(String::as_str).collect()));
        }
        From::Constant(_) => {}
    }
    lists.extend(column.when.as_deref().map(|path| (column.name.as_str(), vec![path])));
    lists
}

async fn catalog(plan: &Plan, client: &Client, problems: &mut Problems) -> Result<Catalog> {
    let mut catalog = BTreeMap::new();
    let references = plan.loads.iter().flat_map(|load| {
        load.columns.iter().filter_map(|column| column.references.as_ref().map(|r| &r.table))
    });
    let named: BTreeSet<String> =
        plan.loads.iter().map(Load::table).chain(references.cloned()).collect();
    let mut known = None;
    for name in named {
        let Ok(table) = table_name(&name) else { continue };
        match TargetTable::read(client, &table).await? {
            Some(table) => drop(catalog.insert(name, table)),
            None => {
                if known.is_none() {
                    known = Some(table_names(client).await?);
                }
                let hint = nearest(&name, known.iter().flatten().map(String::as_str));
                problems.add("loads", format!("the target has no table {name}{hint}"));
            }
        }
    }
    Ok(catalog)
}

fn bind(
    plan: &Plan,
    load: &Load,
    table: &TargetTable,
    catalog: &Catalog,
    problems: &mut Problems,
) -> Option<Checked> {
    let before = problems.reported.len();
    let names = || table.columns.iter().map(|column| column.name.as_str());
    let mut columns = Vec::new();
    for column in &load.columns {
        let at = format!("{}: {}", load.name, column.name);
        let Some(target) = table.column(&column.name) else {
            let hint = nearest(&column.name, names());
            problems.add(&at, format!("{} has no such column{hint}", table.name));
            continue;
        };
        if target.generated {
            problems.add(&at, "the server generates this column; leave it out");
        }
        let reference = column.references.as_ref();
        let translation = reference.and_then(|r| translation(plan, r, catalog, &at, problems));
        if reference.is_some_and(|r| r.orphan == OnOrphan::Null) && target.not_null {
            problems.add(&at, "orphan = \"null\" is for a column that may be NULL");
        }
        foreign_key(plan, table, column, target, &at, problems);
        let (column, target) = (column.clone(), target.clone());
        columns.push(Bound { column, target, translation, deferred: false });
    }
    if !load.merge {
        required(load, table, problems);
    }
    let key = key(load, table, &columns, problems);
    if problems.reported.len() > before {
        return None;
    }
    let own_id = match key.as_slice() {
        [one]
            if columns.get(*one).is_some_and(|bound| {
                bound.translation.is_none() && bound.target.kind == Kind::Uuid
            }) =>
        {
            Some(*one)
        }
        _ => None,
    };
    let references = plan.loads.iter().flat_map(|load| &load.columns);
    let references = references.filter_map(|column| column.references.as_ref());
    let is_referenced = references
        .into_iter()
        .any(|reference| reference.by.is_none() && reference.table == load.table());
    let (load, table) = (load.clone(), table.clone());
    Some(Checked { load, table, columns, key, own_id, is_referenced })
}

fn required(load: &Load, table: &TargetTable, problems: &mut Problems) {
    let given = |name: &str| load.columns.iter().any(|column| column.name == name);
    for column in &table.columns {
        let must = column.not_null && !column.has_default && !column.generated;
        if must && !given(&column.name) {
            let text = format!(
                "the column {} may not be NULL and has no default; give it a source",
                column.name
            );
            problems.add(&load.name, text);
        }
    }
}

fn key(load: &Load, table: &TargetTable, columns: &[Bound], problems: &mut Problems) -> Vec<usize> {
    let Some(names) = load.key.clone().or_else(|| table.primary_key()) else {
        problems.add(&load.name, format!("{} has no primary key; set key", table.name));
        return Vec::new();
    };
    if !table.unique.iter().any(|index| index.is_of(&names)) {
        let text =
            "the key must be covered by a unique index of its own; create one, or name another key";
        problems.add(&format!("{}: key", load.name), text);
    }
    let mut key = Vec::new();
    for name in &names {
        match columns.iter().position(|bound| bound.column.name == *name) {
            Some(at) => key.push(at),
            None => {
                let hint = nearest(name, columns.iter().map(|bound| bound.column.name.as_str()));
                problems
                    .add(&load.name, format!("the column {name} of the key has no source{hint}"));
            }
        }
    }
    key
}

fn translation(
    plan: &Plan,
    reference: &Reference,
    catalog: &Catalog,
    at: &str,
    problems: &mut Problems,
) -> Option<Translation> {
    let table = catalog.get(&reference.table)?;
    if reference.by.is_none() && plan.loads_of(&reference.table).next().is_some() {
        let spaces: BTreeSet<Option<&String>> =
            plan.loads_of(&reference.table).map(|load| load.ids.as_ref()).collect();
        if !spaces.contains(&reference.ids.as_ref()) {
            let known: Vec<&str> = spaces.iter().flatten().map(|name| name.as_str()).collect();
            let text = format!(
                "no load of {} has these ids; set ids to one of: {}",
                reference.table,
                known.join(", ")
            );
            problems.add(at, text);
        }
        return Some(Translation::Ids {
            table: reference.table.clone(),
            ids: reference.ids.clone(),
        });
    }
    let key = match table.primary_key().as_deref() {
        Some([key]) => key.clone(),
        _ => {
            problems.add(at, format!("{} has no primary key of one column", reference.table));
            return None;
        }
    };
    let by = reference.by.clone().unwrap_or_else(|| key.clone());
    let Some(column) = table.column(&by) else {
        let hint = nearest(&by, table.columns.iter().map(|column| column.name.as_str()));
        problems.add(at, format!("by: {} has no column {by:?}{hint}", reference.table));
        return None;
    };
    if !table.unique.iter().any(|index| index.is_of(std::slice::from_ref(&by))) {
        problems.add(at, format!("by: {by:?} must be unique in {}", reference.table));
    }
    let table = table.name.quoted();
    Some(Translation::Column { table, by, by_cast: column.cast.clone(), key })
}

/// A foreign key to a table that this plan fills needs its ids translated.
fn foreign_key(
    plan: &Plan,
    table: &TargetTable,
    column: &Column,
    target: &TargetColumn,
    at: &str,
    problems: &mut Problems,
) {
    let constant = matches!(column.from, From::Constant(_));
    if column.references.is_some() || constant || target.kind != Kind::Uuid {
        return;
    }
    for key in &table.foreign_keys {
        let filled = plan.loads_of(&key.table).next().is_some();
        // A row that shares the key of another has the same old id.
        if key.columns.len() == 1 && key.columns.first() == Some(&column.name) && filled {
            let text = format!(
                "is a foreign key to {}, whose ids this plan maps; add references = {:?}",
                key.table, key.table
            );
            problems.add(at, text);
        }
    }
}

/// What a load waits for: tables of the plan's references, and of foreign keys that it does not translate.
fn node(checked: &Checked) -> Node {
    let mut references = Vec::new();
    for (at, bound) in checked.columns.iter().enumerate() {
        let may_wait = !bound.target.not_null
            && bound.orphan() == OnOrphan::Null
            && !checked.key.contains(&at)
            && matches!(bound.translation, Some(Translation::Ids { .. }));
        if let Some(reference) = &bound.column.references {
            references.push((at, reference.table.clone(), may_wait));
        }
        let keys = checked.table.foreign_keys.iter().filter(|key| {
            key.columns.contains(&bound.column.name) && bound.column.references.is_none()
        });
        debug_assert!(
            checked.table.foreign_keys.iter().all(|key| key.columns.len() == key.referenced.len())
        );
        references.extend(keys.map(|key| (at, key.table.clone(), false)));
    }
    let load = &checked.load;
    Node { name: load.name.clone(), table: load.table(), merge: load.merge, references }
}
