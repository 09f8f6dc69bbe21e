//! The configured columns of a table, checked against the catalog (SPEC §1).

use tokio_postgres::Client;

use crate::config::{TableMapping, TableName};
use crate::error::{Context, Error, Result};
use crate::facts::{Column, ColumnKind, Layout, LogicalField};

/// Checks a table and its columns, and finds out of which kind each column is.
///
/// # Errors
///
/// [`Error::Config`] naming the table, the column and the nearest existing name where one does not
/// exist, or where the relation cannot be followed (a view, a foreign table).
pub async fn layout<F: LogicalField>(
    client: &Client,
    mapping: &TableMapping<F>,
) -> Result<Layout<F>> {
    require_table(client, &mapping.table).await?;
    let (existing, generated) = columns(client, &mapping.table).await?;
    let configured = mapping.key.iter().chain(mapping.fields.iter().flat_map(|(_, names)| names));
    if let Some(name) = configured.into_iter().find(|name| generated.contains(name)) {
        return Err(Error::Config(format!(
            "the column {name} of the source table {} is generated, which the log does not hold: name the columns that it is made from",
            mapping.table
        )));
    }
    assemble(mapping, &existing)
}

/// Numbers the columns in order of first mention, the key first.
pub(crate) fn assemble<F: LogicalField>(
    mapping: &TableMapping<F>,
    existing: &[Column],
) -> Result<Layout<F>> {
    let mut columns: Vec<Column> = Vec::new();
    let mut number = |name: &String| {
        if let Some(index) = columns.iter().position(|column| column.name == *name) {
            return Ok(index);
        }
        let Some(column) = existing.iter().find(|column| column.name == *name) else {
            let what = format!("the source table {} has no column {name}", mapping.table);
            let names = existing.iter().map(|column| column.name.as_str());
            return Err(Error::Config(format!("{what}{}", nearest(name, names))));
        };
        columns.push(column.clone());
        Ok(columns.len() - 1)
    };
    let key = mapping.key.iter().map(&mut number).collect::<Result<Vec<_>>>()?;
    let mut fields = Vec::with_capacity(mapping.fields.len());
    for (field, names) in &mapping.fields {
        fields.push((*field, names.iter().map(&mut number).collect::<Result<Vec<_>>>()?));
    }
    if key.is_empty() {
        return Err(Error::Config(format!(
            "the source table {} needs a key column",
            mapping.table
        )));
    }
    Ok(Layout::new(columns, key, fields))
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

/// The columns of a table, a domain counting as its base type, and the names of the generated ones.
async fn columns(client: &Client, table: &TableName) -> Result<(Vec<Column>, Vec<String>)> {
    let sql = include_str!("sql/columns.sql");
    let rows = client.query(sql, &[&table.schema, &table.name]).await;
    let (mut logged, mut generated) = (Vec::new(), Vec::new());
    for row in rows.context("source: reading the catalog")? {
        if row.get(2) {
            generated.push(row.get(0));
        } else {
            logged.push(Column { name: row.get(0), kind: kind(row.get(1)) });
        }
    }
    Ok((logged, generated))
}

fn kind(base_type: &str) -> ColumnKind {
    match base_type {
        "timestamptz" => ColumnKind::Instant,
        "numeric" | "int2" | "int4" | "int8" | "float4" | "float8" => ColumnKind::Numeric,
        "_text" | "_varchar" | "_bpchar" | "_name" | "_citext" => ColumnKind::TextArray,
        "json" | "jsonb" => ColumnKind::Json,
        _ => ColumnKind::Text,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::facts::PaymentField::{Amount, CustomerEmail, Status};

    fn existing() -> Vec<Column> {
        let column = |(name, base): (&str, &str)| Column { name: name.into(), kind: kind(base) };
        [("id", "uuid"), ("amount", "numeric"), ("Customer Email", "text"), ("Email", "text")]
            .map(column)
            .to_vec()
    }

    fn mapping(key: &[&str], columns: &[&str]) -> TableMapping<crate::facts::PaymentField> {
        let names = |names: &[&str]| names.iter().map(|name| (*name).to_owned()).collect();
        TableMapping {
            table: TableName { schema: "public".into(), name: "xendit".into() },
            key: names(key),
            fields: vec![
                (Amount, names(&["amount"])),
                (CustomerEmail, names(columns)),
                (Status, vec![]),
            ],
        }
    }

    #[test]
    fn numbers_each_column_once_key_first_spec_1() {
        let layout =
            assemble(&mapping(&["Email"], &["Customer Email", "Email"]), &existing()).unwrap();
        let names: Vec<_> = layout.columns.iter().map(|column| column.name.as_str()).collect();
        assert_eq!(names, ["Email", "amount", "Customer Email"]);
        assert_eq!(layout.key, [0]);
        assert_eq!(layout.of(CustomerEmail), [2, 0]);
        assert_eq!(layout.of(Status), [0; 0]);
        assert_eq!(layout.columns[1].kind, ColumnKind::Numeric);
    }

    #[test]
    fn types_are_read_as_what_they_are_spec_1() {
        for (base_type, expected) in [
            ("text", ColumnKind::Text),
            ("uuid", ColumnKind::Text),
            ("int8", ColumnKind::Numeric),
            ("timestamptz", ColumnKind::Instant),
            ("timestamp", ColumnKind::Text),
            ("_text", ColumnKind::TextArray),
            ("_varchar", ColumnKind::TextArray),
            ("_int4", ColumnKind::Text),
            ("json", ColumnKind::Json),
            ("jsonb", ColumnKind::Json),
        ] {
            assert_eq!(kind(base_type), expected, "{base_type}");
        }
    }

    #[test]
    fn a_missing_column_names_the_nearest_spec_1() {
        let check = |column: &str, expected: &str| {
            let error = assemble(&mapping(&["id"], &[column]), &existing()).unwrap_err();
            assert!(matches!(error, Error::Config(_)));
            assert_eq!(error.to_string(), expected);
        };
        check("emial", "the source table public.xendit has no column emial; the nearest is Email");
        check(
            "customer email",
            "the source table public.xendit has no column customer email; the nearest is Customer Email",
        );
    }
}
