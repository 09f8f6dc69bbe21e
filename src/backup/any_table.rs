//! Brings tables back of which only the catalog says something.
//!
//! 1. references to rows that were added are let go of, where they may be NULL and something else has to go first
//! 2. in rounds, until nothing is left to do: rows that were added and that nothing refers to go, rows that are gone come
//!    back, rows that differ are as they were; each once nobody else has its unique values
//! 3. references that lead to a table further behind are set
//!
//! What is then not as it was is found by the checksum of each table.

use super::differences::insertable;
use super::restore::Table;
use super::tables::{list, text};
use crate::config::quote_identifier;
use crate::error::Result;
use crate::pg::Db;

const WHAT: &str = "target: rolling back to the backup";

/// Most rounds: rows that pass a unique value on to each other need one for each of them.
const ROUNDS: usize = 100;

/// A foreign key between two of the tables.
struct Reference {
    own: usize,
    referenced: usize,
    columns: Vec<(String, String)>,
    nullable: bool,
}

impl Reference {
    fn joins(&self, own: &str, referenced: &str) -> String {
        let each = self.columns.iter().map(|(a, b)| {
            format!("{own}.{} = {referenced}.{}", quote_identifier(a), quote_identifier(b))
        });
        each.collect::<Vec<_>>().join(" and ")
    }
}

/// Tables beside their copies, with what is between them.
pub(super) struct Tables<'b> {
    all: Vec<Table<'b>>,
    references: Vec<Reference>,
    /// Places, those that others refer to first as far as there is such an order.
    order: Vec<usize>,
}

impl<'b> Tables<'b> {
    pub(super) async fn read(db: &Db, all: Vec<Table<'b>>) -> Result<Self> {
        let names: Vec<&str> = all.iter().map(|table| table.table.table.as_str()).collect();
        let sql = include_str!("sql/references.sql");
        let rows = db.query("target: reading foreign keys", sql, &[&names]).await?;
        let place = |row: &tokio_postgres::Row, at: usize| {
            usize::try_from(row.get::<_, i32>(at)).unwrap_or_default()
        };
        let references = rows.iter().map(|row| {
            let (own, referenced): (Vec<String>, Vec<String>) = (row.get(2), row.get(3));
            Reference {
                own: place(row, 0),
                referenced: place(row, 1),
                columns: own.into_iter().zip(referenced).collect(),
                nullable: row.get(4),
            }
        });
        let references: Vec<Reference> = references.collect();
        let order = order(all.len(), &references);
        Ok(Self { all, references, order })
    }

    pub(super) fn all(&self) -> &[Table<'b>] {
        &self.all
    }

    /// Whether a reference leads to a table that is brought back later, or to its own.
    fn is_late(&self, reference: &Reference) -> bool {
        let place = |table| self.order.iter().position(|at| *at == table);
        reference.nullable
            && place(reference.referenced) >= place(reference.own)
            && self.all.get(reference.own).is_some_and(|own| {
                !reference.columns.iter().any(|(column, _)| own.table.key.contains(column))
            })
    }

    /// The columns of a table that are set last.
    fn late(&self, at: usize) -> Vec<String> {
        let late = self.references.iter().filter(|r| r.own == at && self.is_late(r));
        late.flat_map(|r| r.columns.iter().map(|(own, _)| own.clone())).collect()
    }

    /// Brings all of them back.
    pub(super) async fn bring_back(&self, db: &Db) -> Result<()> {
        for reference in self.references.iter().filter(|reference| reference.nullable) {
            self.let_go(db, reference).await?;
        }
        let mut ready = Vec::new();
        for at in &self.order {
            if let Some(table) = self.all.get(*at) {
                ready.push((*at, table, free(db, table).await?));
            }
        }
        for _ in 0..ROUNDS {
            let mut done = 0;
            for (at, table, _) in ready.iter().rev() {
                done += self.delete_added(db, *at, table).await?;
            }
            for (at, table, free) in &ready {
                let late = self.late(*at);
                done += insert_gone(db, table, &late, free).await?;
                done += update(db, table, &late, free).await?;
            }
            if done == 0 {
                break;
            }
        }
        for (_, table, _) in &ready {
            update(db, table, &[], "true").await?;
        }
        Ok(())
    }

    /// References to rows that will go, of rows that stay, and of all rows where the order does not help.
    async fn let_go(&self, db: &Db, reference: &Reference) -> Result<()> {
        let (Some(own), Some(other)) =
            (self.all.get(reference.own), self.all.get(reference.referenced))
        else {
            return Ok(());
        };
        if reference.columns.iter().any(|(column, _)| own.table.key.contains(column)) {
            return Ok(());
        }
        let set = reference.columns.iter().map(|(a, _)| format!("{} = null", quote_identifier(a)));
        let stays = if self.is_late(reference) {
            "true".to_owned()
        } else {
            format!("exists (select from {} b where {})", own.copy, own.table.same("b", "t"))
        };
        let sql = format!(
            "update {} t set {} from {} r where {} and {stays} \
             and not exists (select from {} b where {})",
            own.table.table,
            set.collect::<Vec<_>>().join(", "),
            other.table.table,
            reference.joins("t", "r"),
            other.copy,
            other.table.same("b", "r")
        );
        db.execute(WHAT, &sql, &[]).await.map(drop)
    }

    /// Rows that were added, as far as nothing of these tables refers to them any more.
    async fn delete_added(&self, db: &Db, at: usize, table: &Table<'_>) -> Result<u64> {
        let others = self.references.iter().filter(|r| r.referenced == at && r.own != at);
        let others = others.filter_map(|reference| {
            let own = self.all.get(reference.own)?;
            let joins = reference.joins("r", "t");
            Some(format!("and not exists (select from {} r where {joins})", own.table.table))
        });
        let sql = format!(
            "delete from {} t where not exists (select from {} b where {}) {}",
            table.table.table,
            table.copy,
            table.table.same("b", "t"),
            others.collect::<Vec<_>>().join(" ")
        );
        db.execute(WHAT, &sql, &[]).await
    }
}

/// The condition that nobody else has the unique values of a row `b` of the copy.
async fn free(db: &Db, table: &Table<'_>) -> Result<String> {
    let rows = db.query(WHAT, include_str!("sql/unique.sql"), &[&table.table.table]).await?;
    let mut conditions = vec!["true".to_owned()];
    for row in &rows {
        let (expressions, condition): (Vec<String>, Option<String>) = (row.get(0), row.get(1));
        let condition = condition.unwrap_or_else(|| "true".to_owned());
        // The names in an expression are those of the one relation that is in sight.
        let numbered = expressions.iter().enumerate();
        let numbered: Vec<String> =
            numbered.map(|(at, expression)| format!("({expression}) as \"_e{at}\"")).collect();
        let same = (0..expressions.len()).map(|at| format!("o.\"_e{at}\" = w.\"_e{at}\""));
        let (keys, copied) = (table.table.key_list("x"), list("c", &table.table.columns));
        let numbered = numbered.join(", ");
        conditions.push(format!(
            "not exists (select from (select {keys}, {numbered} from {} x where {condition}) o, \
             lateral (select {numbered} from (select {copied} from (select b.*) c) v where {condition}) w \
             where {} and not ({}))",
            table.table.table,
            same.collect::<Vec<_>>().join(" and "),
            table.table.same("o", "b")
        ));
    }
    Ok(conditions.join(" and "))
}

async fn insert_gone(db: &Db, table: &Table<'_>, late: &[String], free: &str) -> Result<u64> {
    let (names, values) = insertable(table.table, &table.found, late);
    let sql = format!(
        "insert into {} ({names}) overriding system value select {values} from {} b \
         where not exists (select from {} t where {}) and {free}",
        table.table.table,
        table.copy,
        table.table.table,
        table.table.same("t", "b")
    );
    db.execute(WHAT, &sql, &[]).await
}

async fn update(db: &Db, table: &Table<'_>, late: &[String], free: &str) -> Result<u64> {
    let columns: Vec<String> =
        table.table.columns.iter().filter(|column| !late.contains(column)).cloned().collect();
    let (now, then) = (text("t", &columns), text("b", &columns));
    let sets = super::differences::assignments(table.table, &table.found, late);
    if sets.is_empty() {
        return Ok(0);
    }
    let sql = format!(
        "update {} t set {sets} from {} b where {} and {now} is distinct from {then} and {free}",
        table.table.table,
        table.copy,
        table.table.same("b", "t")
    );
    db.execute(WHAT, &sql, &[]).await
}

/// Places of the tables, those that others refer to first. Of a circle the one that is left with the fewest references comes
/// first.
fn order(tables: usize, references: &[Reference]) -> Vec<usize> {
    let mut order: Vec<usize> = Vec::new();
    while order.len() < tables {
        let open = (0..tables).filter(|at| !order.contains(at));
        let waits = |at: &usize| {
            let open = |r: &&Reference| {
                r.own == *at && r.referenced != *at && !order.contains(&r.referenced)
            };
            let (mut fixed, mut all) = (0, 0);
            for reference in references.iter().filter(open) {
                all += 1;
                fixed += usize::from(!reference.nullable);
            }
            (fixed, all)
        };
        match open.min_by_key(waits) {
            Some(next) => order.push(next),
            None => break,
        }
    }
    order
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn referenced_tables_come_first_and_a_circle_is_opened_where_null_may_stand() {
        let reference = |own, referenced, nullable| Reference {
            own,
            referenced,
            columns: Vec::new(),
            nullable,
        };
        // 0 goals, 1 logs, 2 users: goals and logs refer to each other, both to users.
        let all = [
            reference(0, 2, false),
            reference(1, 2, false),
            reference(0, 1, true),
            reference(1, 0, false),
            reference(1, 1, true),
        ];
        assert_eq!(order(3, &all), [2, 0, 1]);
    }
}
