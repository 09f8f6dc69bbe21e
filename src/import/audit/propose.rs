//! `--propose`: a commented plan for existing tables, from what the files hold and what the catalog says.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Write as _;

use super::array::{Array, Field};
use super::fields::{Source, field_for, plain, source_for};
use super::{Audit, Guess};
use crate::config::mapping::table_name;
use crate::config::section::nearest;
use crate::error::{Error, Result};
use crate::import::catalog::{TargetColumn, TargetTable, table_names};
use crate::import::convert::Kind;
use crate::import::plan::Encoding;
use crate::import::record::{MEMBER, first_field};
use crate::pg::Client;

/// Fields that hold a name in one text.
const FULL_NAMES: [&str; 4] = ["name", "fullname", "displayname", "customername"];

/// What is chosen for a table.
type Chosen<'a> = (&'a TargetTable, Option<Source<'a>>);

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
    let chosen: Vec<Chosen<'_>> =
        tables.iter().map(|table| (table, source_for(audit, table))).collect();
    Ok(written(audit, import, &chosen))
}

fn written(audit: &Audit, import: &str, chosen: &[Chosen<'_>]) -> String {
    let filled: BTreeSet<String> = chosen
        .iter()
        .filter(|(_, source)| source.is_some())
        .map(|(table, _)| table.name.to_string())
        .collect();
    let mut used: BTreeMap<&str, BTreeSet<String>> = BTreeMap::new();
    let mut loads = String::new();
    for (table, source) in chosen {
        let Some(source) = source else {
            let _ = writeln!(loads, "\n# {}: no array of the files is like it.", table.name);
            continue;
        };
        let used = used.entry(&source.input().name).or_default();
        used.extend(source.within.map(|(_, path)| path.to_owned()));
        Proposal { table, source: *source, filled: &filled, chosen }.write(&mut loads, used);
    }
    let mut text = String::from("# A proposal: read it, correct it, then try it with --dry-run.\n");
    let _ = writeln!(text, "import = {}\nzone = \"Asia/Manila\"", quoted(import));
    let others: BTreeMap<&str, u64> = audit
        .arrays
        .iter()
        .filter(|array| !used.contains_key(array.name.as_str()))
        .map(|array| (array.name.as_str(), array.records))
        .collect();
    if !others.is_empty() {
        text.push_str("\n[left_out]\n");
    }
    for (name, records) in others {
        let _ = writeln!(text, "{} = \"no table asked for; {records} records\"", key(name));
    }
    let mut written = BTreeSet::new();
    for array in &audit.arrays {
        // One input may lie in several files.
        if let Some(used) = used.get(array.name.as_str()).filter(|_| written.insert(&array.name)) {
            input(&mut text, array, used);
        }
    }
    text + &loads
}

fn input(text: &mut String, array: &Array, used: &BTreeSet<String>) {
    let unused: BTreeSet<&str> = array
        .fields
        .keys()
        .map(|path| first_field(path))
        .filter(|name| *name != MEMBER)
        .filter(|name| !used.iter().any(|path| first_field(path) == *name))
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
    if array.members {
        text.push_str("# its records are the members of an object; @key is the name of each\nmembers = true\n");
    }
    if let Some(name) = array.key.as_ref().filter(|name| *name != "id") {
        let _ = writeln!(text, "key = {}", quoted(name));
    }
    if array.dialect.encoding == Encoding::Windows1252 {
        text.push_str("encoding = \"windows-1252\"\n");
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

/// One load of a proposal.
struct Proposal<'a> {
    table: &'a TargetTable,
    source: Source<'a>,
    /// Tables that the plan fills.
    filled: &'a BTreeSet<String>,
    chosen: &'a [Chosen<'a>],
}

impl Proposal<'_> {
    fn write(&self, text: &mut String, used: &mut BTreeSet<String>) {
        let from = quoted(&self.source.input().name);
        let _ = writeln!(text, "\n[[loads]]\nfrom = {from}");
        if let Some((_, path)) = self.source.within {
            let _ = writeln!(text, "each = {}", quoted(path));
        }
        let _ = writeln!(text, "into = \"{}\"\n[loads.columns]", self.table.name);
        for column in self.table.columns.iter().filter(|column| !column.generated) {
            let name = key(&column.name);
            if let Some(parent) = self.of_parent(column) {
                let _ = writeln!(text, "{name} = {parent}");
                continue;
            }
            let Some((path, field)) = field_for(self.source.array, &column.name) else {
                self.missing(text, column, used);
                continue;
            };
            if self.source.within.is_none() {
                used.insert(path.to_owned());
            }
            let line = self.from(column, path, field);
            let _ = writeln!(text, "{name} = {line}{}", doubts(column, field));
        }
    }

    /// The record that holds the list.
    fn of_parent(&self, column: &TargetColumn) -> Option<String> {
        let (parent, _) = self.source.within?;
        let field = parent.key.as_ref()?;
        let is_parent = self.source.is_parent(self.table, column, self.chosen);
        let foreign = self.foreign(column)?;
        is_parent.then(|| {
            let from = quoted(&format!("..{field}"));
            format!("{{ from = {from}, references = \"{foreign}\" }}")
        })
    }

    /// The table that a column references, where the plan fills it.
    fn foreign(&self, column: &TargetColumn) -> Option<&str> {
        let keys = &self.table.foreign_keys;
        let key = keys.iter().find(|key| key.columns == [column.name.clone()])?;
        Some(key.table.as_str()).filter(|table| self.filled.contains(*table))
    }

    /// A column that no field is like.
    fn missing(&self, text: &mut String, column: &TargetColumn, used: &mut BTreeSet<String>) {
        let array = self.source.array;
        let name = key(&column.name);
        let part = match plain(&column.name).as_str() {
            "firstname" => Some("first"),
            "lastname" => Some("last"),
            _ => None,
        };
        let full = array.fields.keys().find(|path| FULL_NAMES.contains(&plain(path).as_str()));
        if let (Some(part), Some(path)) = (part, full) {
            used.insert(path.clone());
            let _ = writeln!(text, "{name} = {{ from = {}, name = \"{part}\" }}", quoted(path));
            return;
        }
        let is_key = self.table.primary_key().is_some_and(|key| key == [column.name.clone()]);
        if is_key && column.kind == Kind::Uuid {
            match (&array.key, self.source.within) {
                (Some(field), _) => {
                    if self.source.within.is_none() {
                        used.insert(field.clone());
                    }
                    let _ = writeln!(text, "{name} = {}", quoted(field));
                    return;
                }
                // A list's elements have no ids: the record's id and the element's number are one.
                (None, Some((parent, _))) => {
                    if let Some(field) = &parent.key {
                        let from = quoted(&format!("..{field}"));
                        let _ = writeln!(
                            text,
                            "{name} = {{ join = [{from}, \"#\"], separator = \"/\" }}"
                        );
                        return;
                    }
                }
                (None, None) => {}
            }
        }
        let hint = nearest(&column.name, array.fields.keys().map(String::as_str));
        let must = column.not_null && !column.has_default;
        let must = if must { "must be given" } else { "may stay out" };
        let cast = &column.cast;
        let _ = writeln!(text, "# {name} = \"\"  # {cast}, {must}: no field is like it{hint}");
    }

    fn from(&self, column: &TargetColumn, path: &str, field: &Field) -> String {
        let mut options = Vec::new();
        let is_number = matches!(column.kind, Kind::Numeric | Kind::Float | Kind::Integer(_));
        if let Some(foreign) = self.foreign(column) {
            options.push(format!("references = \"{foreign}\""));
            if !column.not_null {
                options.push("orphan = \"null\"".to_owned());
            }
        } else if unreadable(column, field) > 0 && !column.not_null {
            options.push("invalid = \"null\"".to_owned());
        }
        if is_number && field.types.contains_key(&Guess::CommaNumber) {
            options.push("decimal = \",\"".to_owned());
        }
        if let Kind::Enum(labels) = &column.kind
            && labels.iter().all(|label| label.chars().all(|c| !c.is_uppercase()))
        {
            options.push("trim = true, lower = true".to_owned());
        }
        if column.kind == Kind::Array && field.types.contains_key(&Guess::Text) {
            options.push("split = \",\"".to_owned());
        }
        let is_text = matches!(column.kind, Kind::Text(_) | Kind::Other);
        if field.mostly() == Some(Guess::Email) && is_text {
            options.push("lower = true, trim = true".to_owned());
        }
        if options.is_empty() {
            return quoted(path);
        }
        format!("{{ from = {}, {} }}", quoted(path), options.join(", "))
    }
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
            matches!(
                guess,
                G::Integer | G::ZeroOrOne | G::Epoch | G::NumberText | G::Decimal | G::CommaNumber
            )
        }
        Kind::Json => matches!(guess, G::List | G::ListOfObjects | G::Object | G::JsonText),
        Kind::Array => matches!(guess, G::List | G::JsonText | G::Text),
    }
}

fn quoted(text: &str) -> String {
    toml::Value::from(text).to_string()
}

fn key(name: &str) -> String {
    if crate::config::section::is_bare(name) { name.to_owned() } else { quoted(name) }
}
