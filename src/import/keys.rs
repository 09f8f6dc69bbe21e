//! The keys of the tables after an import: every foreign key, every reference of the plan that no constraint watches over,
//! every unique index. Constraints may be `not valid`, and references may have none.

use super::check::{Checked, Translation};
use super::summary::KeyCheck;
use crate::config::quote_identifier;
use crate::error::Result;
use crate::pg::Tx;

/// What contradicts each key of these loads' tables.
///
/// # Errors
/// Those of the target.
pub(super) async fn broken(tx: &Tx, loads: &[&Checked]) -> Result<Vec<KeyCheck>> {
    let mut checks = Vec::new();
    for (table, key, kind, sql) in statements(loads) {
        let rows = tx.query("target: checking keys", &sql, &[]).await?;
        let broken = rows.first().map(|row| row.get(0)).unwrap_or_default();
        checks.push(KeyCheck { table, key, kind, broken });
    }
    Ok(checks)
}

/// Table, key and kind with the statement that counts.
type Check = (String, String, &'static str, String);

fn statements(loads: &[&Checked]) -> Vec<Check> {
    let mut all: Vec<Check> = Vec::new();
    for checked in loads {
        let found = foreign(checked).chain(references(loads, checked)).chain(unique(checked));
        for check in found {
            // Several loads fill one table.
            if !all.iter().any(|known| known.0 == check.0 && known.1 == check.1) {
                all.push(check);
            }
        }
    }
    all
}

fn foreign(checked: &Checked) -> impl Iterator<Item = Check> {
    checked.table.foreign_keys.iter().filter_map(|key| {
        let table = crate::config::mapping::table_name(&key.table).ok()?.quoted();
        let pairs = key.columns.iter().zip(&key.referenced);
        let joins = pairs.map(|(own, other)| (own.as_str(), other.as_str())).collect::<Vec<_>>();
        let name = format!("{} to {}", key.columns.join(", "), key.table);
        Some((checked.load.table(), name, "foreign", dangling(checked, &table, &joins)))
    })
}

/// References of the plan that are no foreign key.
fn references<'c>(
    loads: &'c [&'c Checked],
    checked: &'c Checked,
) -> impl Iterator<Item = Check> + use<'c> {
    checked.columns.iter().filter_map(|bound| {
        let name = bound.column.name.as_str();
        let is_foreign = |key: &super::catalog::ForeignKey| key.columns == [name.to_owned()];
        if checked.table.foreign_keys.iter().any(is_foreign) {
            return None;
        }
        let (table, key) = match bound.translation.as_ref()? {
            Translation::Column { table, key, .. } => (table.clone(), key.clone()),
            Translation::Ids { table, .. } => {
                let filled = loads.iter().find(|other| other.load.table() == *table)?;
                let [at] = filled.key.as_slice() else { return None };
                (filled.table.name.quoted(), filled.columns.get(*at)?.column.name.clone())
            }
        };
        let to = &bound.column.references.as_ref()?.table;
        let sql = dangling(checked, &table, &[(name, &key)]);
        Some((checked.load.table(), format!("{name} to {to}"), "reference", sql))
    })
}

/// How many rows refer to nothing.
fn dangling(checked: &Checked, table: &str, joins: &[(&str, &str)]) -> String {
    let whole = joins.iter().map(|(own, _)| format!("t.{} is not null", quote_identifier(own)));
    let same = joins
        .iter()
        .map(|(own, other)| format!("r.{} = t.{}", quote_identifier(other), quote_identifier(own)));
    format!(
        "select count(*) from {} t where {} and not exists (select from {table} r where {})",
        checked.table.name.quoted(),
        whole.collect::<Vec<_>>().join(" and "),
        same.collect::<Vec<_>>().join(" and ")
    )
}

fn unique(checked: &Checked) -> impl Iterator<Item = Check> {
    checked.table.unique.iter().map(|index| {
        let condition = index.condition.as_deref().unwrap_or("true");
        let whole = index.expressions.iter().map(|e| format!("({e}) is not null"));
        let sql = format!(
            "select count(*) from (select count(*) from {} where ({condition}) and {} group by {} having count(*) > 1) d",
            checked.table.name.quoted(),
            whole.collect::<Vec<_>>().join(" and "),
            index.expressions.iter().map(|e| format!("({e})")).collect::<Vec<_>>().join(", ")
        );
        (checked.load.table(), index.name.clone(), "unique", sql)
    })
}
