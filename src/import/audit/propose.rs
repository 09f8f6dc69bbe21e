//! `--propose`: a commented plan for existing tables, from what the files hold and what the catalog says.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Write as _;

use super::{Array, Audit, Field, Guess};
use crate::config::mapping::table_name;
use crate::config::section::nearest;
use crate::error::{Error, Result};
use crate::import::catalog::{TargetColumn, TargetTable, table_names};
use crate::import::convert::Kind;
use crate::pg::Client;

/// Fields that hold a name in one text.
const FULL_NAMES: [&str; 4] = ["name", "fullname", "displayname", "customername"];

/// A field for a table's column, and how near their names are.
type Match<'a> = (&'a str, &'a Field);

/// The text of a plan for these tables.
///
/// # Errors
/// A table that the target does not have; those of the target.
pub async fn propose(
    client: &Client,
    audit: &Audit,
    import: &str,
    names: &[String],
) -> Result<String> {
    let mut tables: Vec<TargetTable> = Vec::new();
    for name in names {
        let table = table_name(name)
            .map_err(|problem| Error::Config(format!("--propose: {name}: {problem}")))?;
        match TargetTable::read(client, &table).await? {
            Some(table) => tables.push(table),
            None => {
                let known = table_names(client).await?;
                let hint = nearest(&table.to_string(), known.iter().map(String::as_str));
                return Err(Error::Config(format!(
                    "--propose: the target has no table {table}{hint}"
                )));
            }
        }
    }
    let chosen: Vec<(&TargetTable, Option<&Array>)> =
        tables.iter().map(|table| (table, array_for(audit, table))).collect();
    Ok(written(audit, import, &chosen))
}

fn written(audit: &Audit, import: &str, chosen: &[(&TargetTable, Option<&Array>)]) -> String {
    let filled: BTreeSet<String> = chosen
        .iter()
        .filter(|(_, array)| array.is_some())
        .map(|(table, _)| table.name.to_string())
        .collect();
    let mut used: BTreeMap<&str, BTreeSet<String>> = BTreeMap::new();
    let mut loads = String::new();
    for (table, array) in chosen {
        let Some(array) = array else {
            let _ = writeln!(loads, "\n# {}: no array of the files is like it.", table.name);
            continue;
        };
        load(&mut loads, table, array, &filled, used.entry(&array.name).or_default());
    }
    let mut text = String::from("# A proposal: read it, correct it, then try it with --dry-run.\n");
    let _ = writeln!(text, "import = {}\nzone = \"Asia/Manila\"", quoted(import));
    let others: Vec<&Array> =
        audit.arrays.iter().filter(|array| !used.contains_key(array.name.as_str())).collect();
    if !others.is_empty() {
        text.push_str("\n[left_out]\n");
    }
    for array in others {
        let _ = writeln!(
            text,
            "{} = \"no table asked for; {} records\"",
            key(&array.name),
            array.records
        );
    }
    for array in &audit.arrays {
        if let Some(used) = used.get(array.name.as_str()) {
            input(&mut text, array, used);
        }
    }
    text + &loads
}

fn input(text: &mut String, array: &Array, used: &BTreeSet<String>) {
    let unused: BTreeSet<&str> = array
        .fields
        .keys()
        .map(|path| top(path))
        .filter(|name| !used.iter().any(|path| top(path) == *name))
        .collect();
    let _ = writeln!(
        text,
        "\n[inputs.{}]\n# {} records, {} broken",
        key(&array.name),
        array.records,
        array.broken
    );
    if array.name.contains('.') {
        let _ = writeln!(text, "path = {}", quoted(&array.name));
    }
    if let Some(name) = array.key.as_ref().filter(|name| *name != "id") {
        let _ = writeln!(text, "key = {}", quoted(name));
    }
    if array.dialect.delimiter != b',' {
        let _ = writeln!(
            text,
            "delimiter = {}",
            quoted(&char::from(array.dialect.delimiter).to_string())
        );
    }
    if !unused.is_empty() {
        let names: Vec<String> = unused.iter().map(|name| quoted(name)).collect();
        let _ = writeln!(text, "left_out = [{}]", names.join(", "));
    }
}

fn load(
    text: &mut String,
    table: &TargetTable,
    array: &Array,
    filled: &BTreeSet<String>,
    used: &mut BTreeSet<String>,
) {
    let _ = writeln!(
        text,
        "\n[[loads]]\nfrom = {}\ninto = \"{}\"\n[loads.columns]",
        quoted(&array.name),
        table.name
    );
    for column in table.columns.iter().filter(|column| !column.generated) {
        let found = field_for(array, &column.name);
        let Some((path, field)) = found else {
            missing(text, table, column, array, used);
            continue;
        };
        used.insert(path.to_owned());
        let line = source(table, column, path, field, filled);
        let _ = writeln!(text, "{} = {line}{}", key(&column.name), doubts(column, field));
    }
}

/// A column that no field is like.
fn missing(
    text: &mut String,
    table: &TargetTable,
    column: &TargetColumn,
    array: &Array,
    used: &mut BTreeSet<String>,
) {
    let part = match plain(&column.name).as_str() {
        "firstname" => Some("first"),
        "lastname" => Some("last"),
        _ => None,
    };
    let full = array.fields.keys().find(|path| FULL_NAMES.contains(&plain(path).as_str()));
    if let (Some(part), Some(path)) = (part, full) {
        used.insert(path.clone());
        let _ = writeln!(
            text,
            "{} = {{ from = {}, name = \"{part}\" }}",
            key(&column.name),
            quoted(path)
        );
        return;
    }
    let is_key = table.primary_key().is_some_and(|key| key == [column.name.clone()]);
    if is_key
        && column.kind == Kind::Uuid
        && let Some(field) = &array.key
    {
        used.insert(field.clone());
        let _ = writeln!(text, "{} = {}", key(&column.name), quoted(field));
        return;
    }
    let hint = nearest(&column.name, array.fields.keys().map(String::as_str));
    let must = column.not_null && !column.has_default;
    let must = if must { "must be given" } else { "may stay out" };
    let _ = writeln!(
        text,
        "# {} = \"\"  # {}, {must}: no field is like it{hint}",
        key(&column.name),
        column.cast
    );
}

fn source(
    table: &TargetTable,
    column: &TargetColumn,
    path: &str,
    field: &Field,
    filled: &BTreeSet<String>,
) -> String {
    let mut options = Vec::new();
    let foreign =
        table.foreign_keys.iter().find(|key| key.columns.as_slice() == [column.name.clone()]);
    if let Some(foreign) = foreign.filter(|foreign| filled.contains(&foreign.table)) {
        options.push(format!("references = \"{}\"", foreign.table));
        if !column.not_null {
            options.push("orphan = \"null\"".to_owned());
        }
    } else if unreadable(column, field) > 0 && !column.not_null {
        options.push("invalid = \"null\"".to_owned());
    }
    if column.kind == Kind::Array && field.types.contains_key(&Guess::Text) {
        options.push("split = \",\"".to_owned());
    }
    if field.mostly() == Some(Guess::Email) && matches!(column.kind, Kind::Text(_) | Kind::Other) {
        options.push("lower = true, trim = true".to_owned());
    }
    if options.is_empty() {
        return quoted(path);
    }
    format!("{{ from = {}, {} }}", quoted(path), options.join(", "))
}

/// Values that do not look like the column's type.
fn unreadable(column: &TargetColumn, field: &Field) -> u64 {
    let others = field.types.iter().filter(|(guess, _)| !fits(&column.kind, **guess));
    others.map(|(_, share)| share.count).sum()
}

fn doubts(column: &TargetColumn, field: &Field) -> String {
    let mut doubts = String::new();
    for (guess, share) in field.types.iter().filter(|(guess, _)| !fits(&column.kind, **guess)) {
        let text = format!(
            "{} of {} are {}, as of {}",
            share.count,
            field.values,
            guess.words(),
            share.example
        );
        let _ = write!(doubts, "  # {}", text.replace(['\n', '\r'], " "));
    }
    if field.nulls > 0 && column.not_null && !column.has_default {
        let _ = write!(doubts, "  # {} have no value: set a default", field.nulls);
    }
    doubts
}

fn fits(kind: &Kind, guess: Guess) -> bool {
    use Guess as G;
    match kind {
        Kind::Text(_) | Kind::Enum(_) | Kind::Other | Kind::Uuid => true,
        Kind::Bool => matches!(guess, G::Boolean | G::ZeroOrOne | G::BooleanText),
        Kind::Instant | Kind::Local => matches!(guess, G::Epoch | G::Timestamp | G::Date),
        Kind::Date => matches!(guess, G::Epoch | G::Timestamp | G::Date),
        Kind::Integer(_) => matches!(guess, G::Integer | G::ZeroOrOne | G::Epoch | G::NumberText),
        Kind::Numeric | Kind::Float => {
            matches!(guess, G::Integer | G::ZeroOrOne | G::Epoch | G::NumberText | G::Decimal)
        }
        Kind::Json => matches!(guess, G::List | G::ListOfObjects | G::Object | G::JsonText),
        Kind::Array => matches!(guess, G::List | G::JsonText | G::Text),
    }
}

/// The array whose name is the table's, else the one that has most of its columns.
fn array_for<'a>(audit: &'a Audit, table: &TargetTable) -> Option<&'a Array> {
    let wanted = singular(&plain(&table.name.name));
    let score = |array: &Array| {
        let name = array.name.rsplit('.').next().unwrap_or(&array.name);
        let same = singular(&plain(name)) == wanted;
        let columns =
            table.columns.iter().filter(|column| field_for(array, &column.name).is_some());
        let share = columns.count() * 100 / table.columns.len().max(1);
        if same { 1000 + share } else { share }
    };
    audit
        .arrays
        .iter()
        .filter(|array| !array.fields.is_empty())
        .max_by_key(|array| score(array))
        .filter(|array| score(array) >= 50)
}

/// The field with a column's name, whatever its case and separators; a path counts as its parts joined, or its last part.
fn field_for<'a>(array: &'a Array, column: &str) -> Option<Match<'a>> {
    let wanted = plain(column);
    let is_same = |path: &str| plain(path) == wanted;
    let is_last = |path: &str| path.rsplit('.').next().is_some_and(|last| plain(last) == wanted);
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
    let ends = ["at", "on", "date", "time", "timestamp", "id"];
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

fn top(path: &str) -> &str {
    path.split_once('.').map_or(path, |(first, _)| first)
}

fn quoted(text: &str) -> String {
    toml::Value::from(text).to_string()
}

fn key(name: &str) -> String {
    if crate::config::section::is_bare(name) { name.to_owned() } else { quoted(name) }
}
