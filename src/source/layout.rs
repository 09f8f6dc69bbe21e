//! The configured columns of a feed, checked against the catalog (SPEC §1).

use std::sync::Arc;

use crate::config::{FeedConfig, FieldSource, Fields, SkippedBy, TableName};
use crate::engine::FeedLayout;
use crate::error::{Context, Error, Result};
use crate::facts::{
    Column, ColumnKind, Columns, FeedInfo, FieldClass, FieldRules, Layout, LogicalField, Part,
    Skip, SkipOf, Source,
};
use crate::pg::Client;

/// A column as the catalog has it.
#[derive(Debug, Clone)]
struct Existing {
    column: Column,
    /// The name of its type, a domain counting as its base type.
    base_type: String,
    /// `pg_type.typtype` and `typcategory` of that.
    class: (String, String),
    generated: bool,
}

/// Checks a feed's table and columns, and finds out of which kind each column is.
///
/// # Errors
///
/// [`Error::Config`] naming the table, the column and the nearest existing name where one does not
/// exist, where the relation cannot be followed (a view, a foreign table), or where a field cannot be read from a column of
/// its type.
pub async fn layout(
    client: &Client,
    feed: &FeedConfig,
    info: &Arc<FeedInfo>,
) -> Result<FeedLayout> {
    require_table(client, &feed.table).await?;
    let existing = columns(client, &feed.table).await?;
    let known: Vec<Column> = existing.iter().map(|known| known.column.clone()).collect();
    let layout = assemble(feed, info, &known)?;
    for name in feed.columns() {
        let Some(known) = existing.iter().find(|known| known.column.name == name) else { continue };
        if known.generated {
            return Err(Error::Config(format!(
                "the column {name} of the source table {} is generated, which the log does not hold: name the columns that it is made from",
                feed.table
            )));
        }
    }
    refuse_types(feed, &existing)?;
    Ok(layout)
}

/// Numbers the columns in order of first mention, the key first.
pub(crate) fn assemble(
    feed: &FeedConfig,
    info: &Arc<FeedInfo>,
    existing: &[Column],
) -> Result<FeedLayout> {
    let mut list: Vec<Column> = Vec::new();
    for name in feed.columns() {
        let Some(column) = existing.iter().find(|column| column.name == *name) else {
            let names = existing.iter().map(|column| column.name.as_str());
            return Err(Error::Config(format!(
                "the source table {} has no column {name}{}{}",
                feed.table,
                nearest(name, names),
                wanted_by(feed, name)
            )));
        };
        list.push(column.clone());
    }
    let place = |name: &str| list.iter().position(|column| column.name == name).unwrap_or_default();
    let key: Vec<usize> = feed.key.iter().map(|name| place(name)).collect();
    if key.is_empty() {
        return Err(Error::Config(format!("the source table {} needs a key column", feed.table)));
    }
    let columns = Columns { list: list.clone(), key, max_bytes: feed.max_row_bytes };
    Ok(match &feed.fields {
        Fields::Contact(fields) => FeedLayout::Contact(typed(feed, info, columns, fields, &place)),
        Fields::Payment(fields) => FeedLayout::Payment(typed(feed, info, columns, fields, &place)),
    })
}

fn typed<F: LogicalField>(
    feed: &FeedConfig,
    info: &Arc<FeedInfo>,
    columns: Columns,
    fields: &[(F, Vec<FieldSource>)],
    place: &dyn Fn(&str) -> usize,
) -> Layout<F> {
    let fields = fields.iter().map(|(field, sources)| {
        (*field, sources.iter().map(|source| resolved(source, place)).collect())
    });
    let skip = feed.skip.iter().filter_map(|rule| {
        let of = match &rule.of {
            SkippedBy::Field(name) => SkipOf::Field(F::parse(name)?),
            SkippedBy::Column { column, path } => SkipOf::Source(Source::Derived {
                column: place(column),
                part: path.clone().map_or(Part::Whole, Part::Path),
                when: None,
            }),
        };
        Some(Skip { of, equals: rule.equals.clone() })
    });
    let rules = FieldRules {
        amount_unit: feed.amount_unit,
        status_words: feed.status_words.clone(),
        skip: skip.collect(),
    };
    Layout::new(Arc::clone(info), columns, fields.collect(), rules)
}

fn resolved(source: &FieldSource, place: &dyn Fn(&str) -> usize) -> Source {
    match source {
        FieldSource::Column(column) => Source::Column(place(column)),
        FieldSource::Value(text) => Source::Value(text.clone()),
        FieldSource::Derived { column, path, when } => Source::Derived {
            column: place(column),
            part: path.clone().map_or(Part::Whole, Part::Path),
            when: when.clone(),
        },
    }
}

/// Which key of the configuration names a column.
fn wanted_by(feed: &FeedConfig, column: &str) -> String {
    let named = feed.fields.named();
    let field = named.iter().find(|(_, all)| all.iter().any(|s| s.column() == Some(column)));
    let key = feed.key.iter().any(|key| key == column);
    match field {
        Some((field, _)) => format!(" (feeds.{}.columns.{field})", feed.name),
        None if key => format!(" (feeds.{}.key)", feed.name),
        None => format!(" (feeds.{}.skip)", feed.name),
    }
}

/// Refuses a column of a type that its field cannot be read from: it would be misread in every row.
fn refuse_types(feed: &FeedConfig, existing: &[Existing]) -> Result<()> {
    let known = |name: &str| existing.iter().find(|known| known.column.name == name);
    let refuse = |field: &str, known: &Existing, why: &str| {
        Err(Error::Config(format!(
            "the column {} of the source table {} is of the type {}, from which {field} cannot be read{why} \
             (feeds.{}.columns.{field})",
            known.column.name, feed.table, known.base_type, feed.name
        )))
    };
    for (field, class, source) in classes(feed) {
        let Some(known) = source.column().and_then(known) else { continue };
        if let Some(why) = unreadable(known, class, source) {
            return refuse(field, known, why);
        }
    }
    for name in &feed.key {
        let is_opaque =
            |known: &&Existing| is_opaque(known) || known.column.kind == ColumnKind::Json;
        if let Some(known) = known(name).filter(is_opaque) {
            return Err(Error::Config(format!(
                "the key column {name} of the source table {} is of the type {}, which is no key \
                 (feeds.{}.key)",
                feed.table, known.base_type, feed.name
            )));
        }
    }
    Ok(())
}

/// Every source with its field and how that is read.
fn classes(feed: &FeedConfig) -> Vec<(&'static str, FieldClass, &FieldSource)> {
    fn of<F: LogicalField>(
        fields: &[(F, Vec<FieldSource>)],
    ) -> Vec<(&'static str, FieldClass, &FieldSource)> {
        let each = fields.iter().flat_map(|(field, sources)| {
            sources.iter().map(move |source| (field.name(), field.class(), source))
        });
        each.collect()
    }
    match &feed.fields {
        Fields::Contact(fields) => of(fields),
        Fields::Payment(fields) => of(fields),
    }
}

/// Whether nothing can be read from a type: bytes, records of any kind, ranges, geometry.
fn is_opaque(known: &Existing) -> bool {
    let (kind, category) = (known.class.0.as_str(), known.class.1.as_str());
    matches!(known.base_type.as_str(), "bytea" | "_bytea" | "hstore" | "_hstore")
        || matches!(kind, "c" | "r" | "m" | "p")
        || matches!(category, "G" | "R" | "P")
}

/// Why a field cannot be read from a column; `None` where it can.
fn unreadable(known: &Existing, class: FieldClass, source: &FieldSource) -> Option<&'static str> {
    if is_opaque(known) {
        return Some("");
    }
    let (kind, category) = (known.column.kind, known.class.1.as_str());
    let is_text = matches!(category, "S" | "E") || known.base_type == "xml";
    if let FieldSource::Derived { path, when, .. } = source {
        if path.is_some() && kind != ColumnKind::Json && !is_text {
            return Some(": a path leads into json, jsonb or a text that holds JSON");
        }
        if path.is_some() || when.is_some() {
            return None;
        }
    }
    // Arrays of something else than texts are no lists of texts.
    if category == "A" && kind != ColumnKind::TextArray && class != FieldClass::Raw {
        return Some(": it is a list, and not of texts");
    }
    match class {
        FieldClass::Amount => match kind {
            ColumnKind::Numeric | ColumnKind::Json => None,
            _ if known.base_type == "money" => {
                Some(": it is written in the language of the server; cast it to numeric")
            }
            _ if is_text => None,
            _ => Some(": it is no number"),
        },
        FieldClass::Time => match kind {
            ColumnKind::Instant | ColumnKind::Numeric | ColumnKind::Json => None,
            _ if matches!(known.base_type.as_str(), "timestamp" | "date") || is_text => None,
            _ => Some(": it is no time"),
        },
        FieldClass::Text | FieldClass::Tags | FieldClass::Raw => None,
    }
}

/// `; the nearest is "x"`, or nothing where there is no other name.
fn nearest<'n>(wanted: &str, names: impl Iterator<Item = &'n str>) -> String {
    let folded = wanted.to_lowercase();
    names
        .min_by_key(|name| strsim::osa_distance(&folded, &name.to_lowercase()))
        .map(|name| format!("; the nearest is {name}"))
        .unwrap_or_default()
}

/// Refuses a table that does not exist or cannot be followed.
async fn require_table(client: &Client, table: &TableName) -> Result<()> {
    let sql = include_str!("sql/relation_kind.sql");
    let found = client.query_opt(sql, &[&table.schema, &table.name]).await;
    let Some(row) = found.context("source: reading the catalog")? else {
        let sql = "select n.nspname || '.' || c.relname from pg_class c
            join pg_namespace n on n.oid = c.relnamespace
            where c.relkind in ('r', 'p') and n.nspname not in ('pg_catalog', 'information_schema')";
        let rows = client.query(sql, &[]).await.context("source: reading the catalog")?;
        let names: Vec<String> = rows.iter().map(|row| row.get(0)).collect();
        let hint = nearest(&table.to_string(), names.iter().map(String::as_str));
        return Err(Error::Config(format!("the source has no table {table}{hint}")));
    };
    let (kind, has_children, foreign): (String, bool, bool) = (row.get(0), row.get(1), row.get(2));
    let problem = match kind.as_str() {
        "v" | "m" => "is a view: the log holds no changes of it; name the tables it reads",
        "f" => "is a foreign table: follow it on the server where it lives",
        "p" if foreign => {
            "has a foreign table among its partitions, whose changes are not logged here"
        }
        "r" if has_children => {
            "has child tables by inheritance; use declarative partitions instead"
        }
        "r" | "p" => return Ok(()),
        _ => "is not a table",
    };
    Err(Error::Config(format!("the source table {table} {problem}")))
}

/// The columns of a table.
async fn columns(client: &Client, table: &TableName) -> Result<Vec<Existing>> {
    let sql = include_str!("sql/columns.sql");
    let rows = client.query(sql, &[&table.schema, &table.name]).await;
    let existing = |row: &tokio_postgres::Row| {
        let base_type: String = row.get(1);
        Existing {
            column: Column { name: row.get(0), kind: kind(&base_type) },
            base_type,
            generated: row.get(2),
            class: (row.get(3), row.get(4)),
        }
    };
    Ok(rows.context("source: reading the catalog")?.iter().map(existing).collect())
}

/// The columns of a table with the names of their types, a domain counting as its base type.
pub(super) async fn named_types(
    client: &Client,
    table: &TableName,
) -> Result<Vec<(String, String)>> {
    let existing = columns(client, table).await?;
    Ok(existing.into_iter().map(|known| (known.column.name, known.base_type)).collect())
}

fn kind(base_type: &str) -> ColumnKind {
    match base_type {
        "timestamptz" => ColumnKind::Instant,
        "numeric" | "int2" | "int4" | "int8" | "float4" | "float8" => ColumnKind::Numeric,
        "_text" | "_varchar" | "_bpchar" | "_name" | "_citext" => ColumnKind::TextArray,
        "json" | "jsonb" => ColumnKind::Json,
        "bool" => ColumnKind::Boolean,
        _ => ColumnKind::Text,
    }
}

#[cfg(test)]
#[path = "layout_tests.rs"]
mod tests;
