//! Table names and the mapping of logical fields to columns (SPEC §1).

use toml::Value;

use super::section::{Problems, Section, nearest, text, texts};
use super::{TableMapping, TableName};
use crate::facts::{ContactField, LogicalField, PaymentField};

/// Payment fields that the canonical layout has no column for.
const NOT_CANONICAL: [PaymentField; 3] =
    [PaymentField::CustomerPhone, PaymentField::ExpiryDate, PaymentField::TimeZone];

/// The canonical layout: every field in the column of its own name.
pub(super) fn canonical_payments() -> Vec<(PaymentField, Vec<String>)> {
    let names = PaymentField::NAMES.iter().filter(|(field, _)| !NOT_CANONICAL.contains(field));
    names.map(|(field, name)| (*field, vec![(*name).to_owned()])).collect()
}

/// The canonical layout: every field in the column of its own name.
pub(super) fn canonical_contacts() -> Vec<(ContactField, Vec<String>)> {
    ContactField::NAMES.iter().map(|(field, name)| (*field, vec![(*name).to_owned()])).collect()
}

/// A source table's section: `table`, `key` and `columns`, each with its default. Columns that are
/// given are all there are: a field without one is NULL.
pub(super) fn mapping<F: LogicalField>(
    mut section: Section<'_>,
    default_table: &str,
    default_fields: Vec<(F, Vec<String>)>,
    problems: &mut Problems,
) -> TableMapping<F> {
    let table = table(&mut section, "table", default_table, problems);
    let key = section.texts("key", problems).unwrap_or_else(|| vec!["id".into()]);
    let path = section.path_of("key");
    if key.is_empty() {
        problems.add(&path, "must name a column");
    }
    if let Some(twice) = repeated(&key) {
        problems.add(&path, format!("names {twice:?} twice"));
    }
    let mut columns = section.section("columns", problems);
    let fields = if columns.is_present() { fields(&mut columns, problems) } else { default_fields };
    section.finish(problems);
    TableMapping { table, key, fields }
}

/// The mapped fields, in the order of the enum, whatever the order of the file.
fn fields<F: LogicalField>(
    section: &mut Section<'_>,
    problems: &mut Problems,
) -> Vec<(F, Vec<String>)> {
    let mut found = Vec::new();
    for (name, value) in section.entries() {
        let path = section.path_of(name);
        let columns = columns(value, &path, problems);
        match F::parse(name) {
            Some(field) => found.push((field, columns)),
            None => {
                let hint = nearest(name, F::NAMES.iter().map(|(_, known)| *known));
                problems.add(&path, format!("unknown field{hint}"));
            }
        }
    }
    let position = |field: F| F::NAMES.iter().position(|(known, _)| *known == field);
    found.sort_by_key(|(field, _)| position(*field));
    found
}

/// One column, or several of which the first with a usable value counts.
fn columns(value: &Value, path: &str, problems: &mut Problems) -> Vec<String> {
    if !value.is_array() {
        return text(value, path, problems).map(|name| vec![name.to_owned()]).unwrap_or_default();
    }
    let names = texts(value, path, problems).unwrap_or_default();
    if value.as_array().is_some_and(Vec::is_empty) {
        problems.add(path, "names no column; leave the field out instead");
    }
    if let Some(twice) = repeated(&names) {
        problems.add(path, format!("names {twice:?} twice"));
    }
    names
}

fn repeated(names: &[String]) -> Option<&String> {
    names.iter().enumerate().find(|(index, name)| names[..*index].contains(name)).map(|(_, n)| n)
}

/// A table's name at a key.
pub(super) fn table(
    section: &mut Section<'_>,
    key: &'static str,
    default: &str,
    problems: &mut Problems,
) -> TableName {
    let path = section.path_of(key);
    let written = section.text(key, problems).unwrap_or(default);
    table_name(written).unwrap_or_else(|problem| {
        problems.add(&path, problem);
        TableName { schema: String::new(), name: String::new() }
    })
}

/// `schema.table` as the catalog writes it; without a schema it is `public`. A name with a dot in it
/// stands in double quotes.
fn table_name(written: &str) -> Result<TableName, String> {
    let mut parts = vec![String::new()];
    let mut in_quotes = false;
    let mut characters = written.chars().peekable();
    while let Some(character) = characters.next() {
        let part = parts.last_mut().map_or_else(|| Err("is empty".to_owned()), Ok)?;
        match character {
            '"' if in_quotes && characters.next_if_eq(&'"').is_some() => part.push('"'),
            '"' => in_quotes = !in_quotes,
            '.' if !in_quotes => parts.push(String::new()),
            _ => part.push(character),
        }
    }
    if in_quotes {
        return Err("has no closing double quote".into());
    }
    if parts.iter().any(String::is_empty) {
        return Err("has an empty name; write schema.table".into());
    }
    match <[String; 2]>::try_from(parts) {
        Ok([schema, name]) => Ok(TableName { schema, name }),
        Err(mut parts) if parts.len() == 1 => {
            Ok(TableName { schema: "public".into(), name: parts.remove(0) })
        }
        Err(_) => Err("has too many dots; a name with a dot stands in double quotes".into()),
    }
}

/// The name so that [`table_name`] reads it back.
pub(super) fn written(table: &TableName) -> String {
    let part = |name: &str| {
        let plain = !name.contains(['.', '"']);
        if plain { name.to_owned() } else { super::quote_identifier(name) }
    };
    format!("{}.{}", part(&table.schema), part(&table.name))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn table_names_are_read_as_the_catalog_writes_them() {
        let check = |text: &str, expected: Result<(&str, &str), &str>| {
            let found = table_name(text);
            let found = found.as_ref().map(|table| (table.schema.as_str(), table.name.as_str()));
            assert_eq!(found.map_err(String::as_str), expected, "{text}");
        };
        check("public.xendit", Ok(("public", "xendit")));
        check("xendit", Ok(("public", "xendit")));
        check("Raw.Xendit Payments", Ok(("Raw", "Xendit Payments")));
        check(r#""a.b"."c""d""#, Ok(("a.b", "c\"d")));
        check("a.b.c", Err("has too many dots; a name with a dot stands in double quotes"));
        check(".b", Err("has an empty name; write schema.table"));
        check("\"a", Err("has no closing double quote"));
        let table = TableName { schema: "a.b".into(), name: "c\"d".into() };
        assert_eq!(table_name(&written(&table)).unwrap(), table);
    }
}
