//! Table names and where the logical fields of a feed come from (SPEC §1).

use toml::{Table, Value};

use super::TableName;
use super::section::{Problems, Section, expect, nearest, text};
use crate::facts::{ANY, ContactField, FeedKind, LogicalField, PaymentField, When};

/// Payment fields that the canonical layout has no column for.
const NOT_CANONICAL: [PaymentField; 3] =
    [PaymentField::CustomerPhone, PaymentField::ExpiryDate, PaymentField::TimeZone];

/// One source of a logical field.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum FieldSource {
    /// A column as it is.
    Column(String),
    /// What is made of a column.
    Derived {
        /// The column.
        column: String,
        /// The way to a value inside of its JSON.
        path: Option<Vec<String>>,
        /// What its texts mean.
        when: Option<When>,
    },
    /// The same text for every row.
    Value(String),
}

impl FieldSource {
    /// The column that it reads.
    #[must_use]
    pub fn column(&self) -> Option<&str> {
        match self {
            Self::Column(column) | Self::Derived { column, .. } => Some(column),
            Self::Value(_) => None,
        }
    }
}

/// The mapped fields of a feed, in the order of the enum, each with its sources, first choice first.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Fields {
    /// Of a feed of contacts.
    Contact(Vec<(ContactField, Vec<FieldSource>)>),
    /// Of a feed of payments.
    Payment(Vec<(PaymentField, Vec<FieldSource>)>),
}

impl Fields {
    /// What the rows are.
    #[must_use]
    pub fn kind(&self) -> FeedKind {
        match self {
            Self::Contact(_) => FeedKind::Contact,
            Self::Payment(_) => FeedKind::Payment,
        }
    }

    /// Name and sources of each mapped field.
    #[must_use]
    pub fn named(&self) -> Vec<(&'static str, &[FieldSource])> {
        fn of<F: LogicalField>(
            fields: &[(F, Vec<FieldSource>)],
        ) -> Vec<(&'static str, &[FieldSource])> {
            fields.iter().map(|(field, sources)| (field.name(), sources.as_slice())).collect()
        }
        match self {
            Self::Contact(fields) => of(fields),
            Self::Payment(fields) => of(fields),
        }
    }

    /// The names of all fields of this kind.
    pub(super) fn names(&self) -> impl Iterator<Item = &'static str> {
        let (contact, payment) = match self {
            Self::Contact(_) => (ContactField::NAMES, &[][..]),
            Self::Payment(_) => (&[][..], PaymentField::NAMES),
        };
        contact.iter().map(|(_, name)| *name).chain(payment.iter().map(|(_, name)| *name))
    }

    /// Whether there is such a field.
    pub(super) fn is_field(&self, name: &str) -> bool {
        self.names().any(|known| known == name)
    }
}

/// The canonical layout: every field in the column of its own name.
pub(super) fn canonical(kind: FeedKind) -> Fields {
    fn own<F: LogicalField>(is_there: impl Fn(F) -> bool) -> Vec<(F, Vec<FieldSource>)> {
        let names = F::NAMES.iter().filter(|(field, _)| is_there(*field));
        names.map(|(field, name)| (*field, vec![FieldSource::Column((*name).to_owned())])).collect()
    }
    match kind {
        FeedKind::Contact => Fields::Contact(own(|field| field != ContactField::Name)),
        FeedKind::Payment => Fields::Payment(own(|field| !NOT_CANONICAL.contains(&field))),
    }
}

/// The fields of the section `columns`, whatever their order in the file. A field that is not there is NULL.
pub(super) fn sources(
    kind: FeedKind,
    section: &mut Section<'_>,
    problems: &mut Problems,
) -> Fields {
    match kind {
        FeedKind::Contact => Fields::Contact(fields(section, problems)),
        FeedKind::Payment => Fields::Payment(fields(section, problems)),
    }
}

fn fields<F: LogicalField>(
    section: &mut Section<'_>,
    problems: &mut Problems,
) -> Vec<(F, Vec<FieldSource>)> {
    let mut found = Vec::new();
    for (name, value) in section.entries() {
        let path = section.path_of(name);
        let sources = several(value, &path, problems);
        match F::parse(name) {
            Some(field) => found.push((field, sources)),
            None => {
                let hint = nearest(name, F::NAMES.iter().map(|(_, known)| *known));
                problems.add(&path, format!("unknown field{hint}"));
            }
        }
    }
    found.sort_by_key(|(field, _)| field.index());
    found
}

/// One source, or several of which the first with a usable value counts.
fn several(value: &Value, path: &str, problems: &mut Problems) -> Vec<FieldSource> {
    let Some(list) = value.as_array() else {
        return source(value, path, problems).into_iter().collect();
    };
    if list.is_empty() {
        problems.add(path, "names no column; leave the field out instead");
    }
    let mut found: Vec<FieldSource> = Vec::new();
    for (index, value) in list.iter().enumerate() {
        let path_of_one = format!("{path}[{index}]");
        let Some(source) = source(value, &path_of_one, problems) else { continue };
        if found.contains(&source) {
            let name = source.column().unwrap_or("the same value");
            problems.add(path, format!("names {name:?} twice"));
        }
        if let Some(FieldSource::Value(_)) = found.last() {
            problems.add(&path_of_one, "is never asked: the constant before it is always there");
        }
        found.push(source);
    }
    found
}

/// A column's name, `{ column, path, when }` or `{ value }`.
fn source(value: &Value, path: &str, problems: &mut Problems) -> Option<FieldSource> {
    const WANTED: &str =
        "a column, a list, { column = …, path = […] }, { column = …, when = {…} } or { value = … }";
    let Some(table) = value.as_table() else {
        if !value.is_str() {
            expect(None::<()>, value, path, WANTED, problems);
            return None;
        }
        return Some(FieldSource::Column(text(value, path, problems)?.to_owned()));
    };
    let mut section = Section::element(path.to_owned(), table);
    let column = section.text("column", problems).map(str::to_owned);
    let steps = section.texts("path", problems);
    let when_path = section.path_of("when");
    let when_value = section.value("when");
    let when = when_value.and_then(|value| when(value, &when_path, problems));
    let constant_path = section.path_of("value");
    let constant = section.value("value").and_then(|v| constant(v, &constant_path, problems));
    section.finish(problems);
    match (column, constant) {
        (Some(column), None) if steps.is_some() || when_value.is_some() => {
            Some(FieldSource::Derived { column, path: steps, when })
        }
        (Some(column), None) => Some(FieldSource::Column(column)),
        (None, Some(constant)) if steps.is_none() && when_value.is_none() => {
            Some(FieldSource::Value(constant))
        }
        (None, None) if table.contains_key("column") || table.contains_key("value") => None,
        _ => {
            problems.add(path, format!("must be {WANTED}"));
            None
        }
    }
}

/// A constant; a number or a flag is its text.
fn constant(value: &Value, path: &str, problems: &mut Problems) -> Option<String> {
    match value {
        Value::Integer(number) => Some(number.to_string()),
        Value::Boolean(flag) => Some(flag.to_string()),
        _ => text(value, path, problems).map(str::to_owned),
    }
}

fn when(value: &Value, path: &str, problems: &mut Problems) -> Option<When> {
    const WANTED: &str = "a table of texts, such as { \"true\" = \"refunded\" }";
    let table: &Table = expect(value.as_table(), value, path, WANTED, problems)?;
    if table.is_empty() {
        problems.add(path, format!("must be {WANTED}"));
    }
    let mut found = When::default();
    for (known, meaning) in table {
        let path = format!("{path}.{known:?}");
        let Some(meaning) = constant(meaning, &path, problems) else { continue };
        if known == ANY {
            found.any = Some(meaning);
            continue;
        }
        match crate::facts::clean(known) {
            Some(clean) => found.texts.push((clean, meaning)),
            None => problems.add(&path, "reads as no value at all"),
        }
    }
    Some(found)
}

pub(super) fn repeated(names: &[String]) -> Option<&String> {
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
pub(crate) fn table_name(written: &str) -> Result<TableName, String> {
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
pub(crate) fn written(table: &TableName) -> String {
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
