//! The target's tables as the catalog describes them.

use std::collections::BTreeMap;

use crate::pg::Client;

use super::convert::Kind;
use crate::config::TableName;
use crate::error::{Context as _, Result};

/// A column of a target table.
#[derive(Debug, Clone)]
pub(super) struct TargetColumn {
    pub(super) name: String,
    /// What a text is cast to.
    pub(super) cast: String,
    pub(super) kind: Kind,
    pub(super) not_null: bool,
    /// NULL is refused by the server, whatever its triggers do.
    pub(super) refuses_null: bool,
    pub(super) has_default: bool,
    pub(super) generated: bool,
    /// Whether values are compared as texts, for the type has no equality.
    pub(super) as_text: bool,
}

/// A foreign key.
#[derive(Debug, Clone)]
pub(super) struct ForeignKey {
    pub(super) columns: Vec<String>,
    /// `schema.name`.
    pub(super) table: String,
    pub(super) referenced: Vec<String>,
}

/// A unique index.
#[derive(Debug, Clone)]
pub(super) struct UniqueIndex {
    pub(super) name: String,
    pub(super) primary: bool,
    /// None for an expression.
    pub(super) columns: Vec<Option<String>>,
    pub(super) expressions: Vec<String>,
    pub(super) condition: Option<String>,
}

impl UniqueIndex {
    /// Whether it covers exactly these columns and all rows.
    pub(super) fn is_of(&self, columns: &[String]) -> bool {
        let all = |name: &Option<String>| name.as_ref().is_some_and(|name| columns.contains(name));
        self.condition.is_none()
            && self.columns.len() == columns.len()
            && self.columns.iter().all(all)
    }
}

/// A table of the target.
#[derive(Debug, Clone)]
pub(super) struct TargetTable {
    pub(super) name: TableName,
    pub(super) columns: Vec<TargetColumn>,
    pub(super) foreign_keys: Vec<ForeignKey>,
    pub(super) unique: Vec<UniqueIndex>,
}

impl TargetTable {
    pub(super) fn column(&self, name: &str) -> Option<&TargetColumn> {
        self.columns.iter().find(|column| column.name == name)
    }

    pub(super) fn primary_key(&self) -> Option<Vec<String>> {
        let primary = self.unique.iter().find(|index| index.primary)?;
        primary.columns.iter().cloned().collect()
    }

    /// Reads a table; `None` where there is none.
    pub(super) async fn read(client: &Client, name: &TableName) -> Result<Option<Self>> {
        const WHAT: &str = "target: reading the catalog";
        let quoted = name.quoted();
        let rows = client.query(include_str!("sql/columns.sql"), &[&quoted]).await.context(WHAT)?;
        if rows.is_empty() {
            return Ok(None);
        }
        let columns = rows.iter().map(column).collect();
        let keys = client.query(include_str!("sql/foreign_keys.sql"), &[&quoted]).await;
        let foreign_keys = keys.context(WHAT)?.into_iter().map(|row| ForeignKey {
            columns: row.get(0),
            table: row.get(1),
            referenced: row.get(2),
        });
        let indexes = client.query(include_str!("sql/unique_indexes.sql"), &[&quoted]).await;
        let unique = indexes.context(WHAT)?.into_iter().map(|row| UniqueIndex {
            name: row.get(0),
            primary: row.get(1),
            columns: row.get(2),
            expressions: row.get(3),
            condition: row.get(4),
        });
        let (foreign_keys, unique) = (foreign_keys.collect(), unique.collect());
        Ok(Some(Self { name: name.clone(), columns, foreign_keys, unique }))
    }
}

fn column(row: &tokio_postgres::Row) -> TargetColumn {
    let (base, typtype, category): (String, String, String) = (row.get(2), row.get(3), row.get(4));
    let longest: Option<i32> = row.get(8);
    let kind = kind_of(&base, &typtype, &category, longest, row.get(9));
    TargetColumn {
        name: row.get(0),
        cast: row.get(1),
        kind,
        not_null: row.get(5),
        refuses_null: row.get(10),
        has_default: row.get(6),
        generated: row.get(7),
        as_text: matches!(base.as_str(), "json" | "xml" | "point" | "json[]"),
    }
}

fn kind_of(
    base: &str,
    typtype: &str,
    category: &str,
    longest: Option<i32>,
    labels: Vec<String>,
) -> Kind {
    match base {
        "uuid" => Kind::Uuid,
        "boolean" => Kind::Bool,
        "timestamp with time zone" => Kind::Instant,
        "timestamp without time zone" => Kind::Local,
        "date" => Kind::Date,
        "smallint" => Kind::Integer(16),
        "integer" => Kind::Integer(32),
        "bigint" => Kind::Integer(64),
        "numeric" => Kind::Numeric,
        "real" | "double precision" => Kind::Float,
        "json" | "jsonb" => Kind::Json,
        _ if typtype == "e" => Kind::Enum(labels),
        _ if category == "A" => Kind::Array,
        _ if category == "S" => {
            Kind::Text(longest.and_then(|longest| usize::try_from(longest).ok()))
        }
        _ => Kind::Other,
    }
}

/// Names of the tables that a plan could mean, for hints.
pub(super) async fn table_names(client: &Client) -> Result<Vec<String>> {
    let sql = "select n.nspname || '.' || c.relname from pg_class c join pg_namespace n on n.oid = c.relnamespace \
               where c.relkind in ('r', 'p') and n.nspname not in ('pg_catalog', 'information_schema', 'tributary') \
               and n.nspname not like 'pg\\_%' order by 1 limit 10000";
    let rows = client.query(sql, &[]).await.context("target: listing tables")?;
    Ok(rows.iter().map(|row| row.get(0)).collect())
}

/// Tables by `schema.name`.
pub(super) type Catalog = BTreeMap<String, TargetTable>;
