//! The statements of one load, built once. Rows travel as one text array a column and are cast to each column's own
//! type, so that the server reads, rounds and compares values as the column does.

use super::check::{Checked, Translation};
use crate::config::quote_identifier;
use crate::error::Result;
use crate::pg::{Db, text_params};

/// The statements of a load.
pub(super) struct Statements {
    /// Places of the columns that are compared and written, the key's first.
    pub(super) columns: Vec<usize>,
    /// How many of them are the key's.
    pub(super) key: usize,
    /// The table and the names of the columns, quoted, for COPY.
    pub(super) table: String,
    pub(super) names: String,
    /// Whether COPY does to the table what INSERT does.
    pub(super) may_copy: bool,
    /// The rows that are there, with what differs.
    pub(super) existing: String,
    pub(super) insert: String,
    pub(super) update: Option<String>,
    /// For each unique index: its name, and the rows that another row is in the way of.
    pub(super) unique: Vec<(String, String)>,
    /// For each reference that is looked up in a table: the column's place and the statement.
    pub(super) look_ups: Vec<(usize, String)>,
}

impl Statements {
    pub(super) fn new(checked: &Checked, second: bool) -> Self {
        let is_written = |at: &usize| {
            let bound = checked.columns.get(*at);
            bound.is_some_and(|bound| bound.deferred == second) && !checked.key.contains(at)
        };
        let mut columns = checked.key.clone();
        columns.extend((0..checked.columns.len()).filter(is_written));
        let names = Names::new(checked, &columns);
        let unique = if second { Vec::new() } else { names.unique(checked) };
        let look_ups = checked
            .columns
            .iter()
            .enumerate()
            .filter_map(|(at, bound)| Some((at, look_up(bound.translation.as_ref()?)?)));
        Self {
            key: checked.key.len(),
            table: names.table.clone(),
            names: names.list(),
            may_copy: false,
            existing: names.existing(),
            insert: names.insert(),
            update: names.update(),
            unique,
            look_ups: look_ups.collect(),
            columns,
        }
    }

    /// Leaves out the unique indexes that cannot be asked with the columns of this load.
    pub(super) async fn prepare(&mut self, db: &Db) -> Result<()> {
        let mut usable = Vec::new();
        for (name, sql) in std::mem::take(&mut self.unique) {
            if db.prepare("target: preparing", &sql).await.is_ok() {
                usable.push((name, sql));
            }
        }
        self.unique = usable;
        let rows = db.query("target: preparing", MAY_COPY, &[&self.table]).await?;
        self.may_copy = rows.first().is_some_and(|row| row.get(0));
        Ok(())
    }
}

/// COPY goes past rules, cannot fill views, and is refused where policies apply.
const MAY_COPY: &str = "select c.relkind in ('r', 'p') and not row_security_active(c.oid) \
     and not exists (select from pg_rewrite r where r.ev_class = c.oid and r.ev_type = '3') \
     from pg_class c where c.oid = to_regclass($1)";

fn look_up(translation: &Translation) -> Option<String> {
    let Translation::Column { table, by, by_cast, key } = translation else { return None };
    let (by, key) = (quote_identifier(by), quote_identifier(key));
    Some(format!(
        "select w.o, t.{key}::text from unnest($1::text[]) w(o) join {table} t on t.{by} = w.o::{by_cast}"
    ))
}

/// The parts that the statements are made of.
struct Names {
    table: String,
    /// Quoted name, cast, whether it is compared as a text.
    columns: Vec<(String, String, bool)>,
    key: usize,
    merge: bool,
}

impl Names {
    fn new(checked: &Checked, columns: &[usize]) -> Self {
        let bound = columns.iter().filter_map(|at| checked.columns.get(*at));
        let columns = bound.map(|bound| {
            let target = &bound.target;
            (quote_identifier(&target.name), target.cast.clone(), target.as_text)
        });
        Self {
            table: checked.table.name.quoted(),
            columns: columns.collect(),
            key: checked.key.len(),
            merge: checked.load.merge,
        }
    }

    /// The rows with their types, under the columns' own names, and their numbers.
    fn typed(&self) -> String {
        let texts: Vec<String> = (0..self.columns.len()).map(|at| format!("c{at}")).collect();
        let typed = self.columns.iter().zip(&texts);
        let typed: Vec<String> =
            typed.map(|((name, cast, _), text)| format!("u.{text}::{cast} as {name}")).collect();
        format!(
            "select u.\"_n\" - 1 as \"_n\", {} from unnest({}) with ordinality u({}, \"_n\")",
            typed.join(", "),
            text_params(self.columns.len()),
            texts.join(", ")
        )
    }

    fn same_key(&self, a: &str, b: &str) -> String {
        let keys = self.columns.iter().take(self.key);
        let keys: Vec<String> = keys.map(|(name, ..)| format!("{a}.{name} = {b}.{name}")).collect();
        keys.join(" and ")
    }

    fn values(&self) -> impl Iterator<Item = &(String, String, bool)> {
        self.columns.iter().skip(self.key)
    }

    fn existing(&self) -> String {
        let differs = self.values().map(|(name, _, as_text)| {
            let cast = if *as_text { "::text" } else { "" };
            format!("t.{name}{cast} is distinct from w.{name}{cast}")
        });
        let differs: Vec<String> = differs.collect();
        format!(
            "select w.\"_n\", array[{}]::bool[] from ({}) w join {} t on {}",
            differs.join(", "),
            self.typed(),
            self.table,
            self.same_key("t", "w")
        )
    }

    fn list(&self) -> String {
        let names: Vec<&str> = self.columns.iter().map(|(name, ..)| name.as_str()).collect();
        names.join(", ")
    }

    fn insert(&self) -> String {
        let names = self.list();
        format!(
            "insert into {} ({names}) select {names} from ({}) w order by \"_n\"",
            self.table,
            self.typed()
        )
    }

    fn update(&self) -> Option<String> {
        let set: Vec<String> =
            self.values().map(|(name, ..)| format!("{name} = w.{name}")).collect();
        (!set.is_empty()).then(|| {
            format!(
                "update {} t set {} from ({}) w where {}",
                self.table,
                set.join(", "),
                self.typed(),
                self.same_key("t", "w")
            )
        })
    }

    /// For each unique index but the key's: the number of a row, the number of the first row of the batch with the same
    /// values, and the key of another row of the table that has them.
    fn unique(&self, checked: &Checked) -> Vec<(String, String)> {
        let key: Vec<String> = checked
            .key
            .iter()
            .filter_map(|at| Some(checked.columns.get(*at)?.column.name.clone()))
            .collect();
        let indexes = checked.table.unique.iter().filter(|index| !index.is_of(&key));
        indexes
            .map(|index| {
                let numbered = |prefix: &str| -> Vec<String> {
                    let each = index.expressions.iter().enumerate();
                    each.map(|(at, expression)| format!("{prefix}({expression}) as \"_e{at}\""))
                        .collect()
                };
                let all = |form: &dyn Fn(usize) -> String, with: &str| -> String {
                    (0..index.expressions.len()).map(form).collect::<Vec<_>>().join(with)
                };
                let condition = index.condition.as_deref().unwrap_or("true");
                let keys: Vec<String> =
                    self.columns.iter().take(self.key).map(|(name, ..)| name.clone()).collect();
                let other_keys: Vec<String> =
                    keys.iter().map(|name| format!("o.{name}::text")).collect();
                let same: Vec<String> =
                    keys.iter().map(|name| format!("o.{name} = w.{name}")).collect();
                let held = index.expressions.iter().enumerate();
                let held: Vec<String> =
                    held.map(|(at, expression)| format!("({expression}) = w.\"_e{at}\"")).collect();
                let sql = format!(
                    "select w.\"_n\", min(w.\"_n\") over (partition by {}), o.key from \
                     (select r.\"_n\", {}, {} from ({}) r where {condition}) w \
                     left join lateral (select concat_ws('|', {}) as key from {} o \
                     where {} and ({condition}) and not ({}) limit 1) o on true where {}",
                    all(&|at| format!("w.\"_e{at}\""), ", "),
                    keys.iter().map(|name| format!("r.{name}")).collect::<Vec<_>>().join(", "),
                    numbered("").join(", "),
                    self.typed(),
                    other_keys.join(", "),
                    self.table,
                    held.join(" and "),
                    same.join(" and "),
                    all(&|at| format!("w.\"_e{at}\" is not null"), " and "),
                );
                (index.name.clone(), sql)
            })
            .filter(|_| !self.merge || self.values().next().is_some())
            .collect()
    }
}
