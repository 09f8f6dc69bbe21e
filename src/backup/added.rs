//! What a start, a backfill or a cut-over added to the application's tables before it took the backup: a rollback to that backup
//! takes it away again, so that the catalogs are those of before too.
//!
//! A column goes only where every row of the copy has the same value in it: the value that it was added with. A table goes only
//! where it is empty. What something else depends on, or this role may not drop, stays and is named.

use super::differences::literal;
use super::{Backup, Sequence};
use crate::config::quote_identifier;
use crate::error::Result;
use crate::pg::Db;
use crate::targets::foreign_key::{self, OnDelete};

const WHAT: &str = "target: taking away what was added";

/// Something that was added.
struct Added {
    kind: String,
    relation: String,
    name: String,
}

/// Takes it away inside the open transaction, last things first, and returns what went or stayed.
///
/// # Errors
/// Those of the target that end the transaction.
pub(super) async fn remove(db: &Db, backup: &Backup) -> Result<Vec<String>> {
    let sql = "select kind, relation, name from tributary.added where run = $1 order by id desc";
    let rows = db.query(WHAT, sql, &[&backup.run]).await?;
    let mut lines = Vec::new();
    for row in &rows {
        let added = Added { kind: row.get(0), relation: row.get(1), name: row.get(2) };
        if !added.is_unused(db, backup).await? {
            let why = if added.kind == "course" { "rows refer to it" } else { "it holds values" };
            lines.push(format!("{} stays: {why}", added.named()));
            continue;
        }
        let named = added.named();
        lines.push(match attempt(db, db.batch(WHAT, &added.statement())).await? {
            Some(()) => format!("{named} is gone again"),
            None => {
                format!("{named} stays: something depends on it, or the role does not own it")
            }
        });
    }
    Ok(lines)
}

/// Takes something away; `None`: the target refuses that, and the transaction goes on without it.
async fn attempt<T>(db: &Db, work: impl Future<Output = Result<T>>) -> Result<Option<T>> {
    db.batch(WHAT, "savepoint tributary_added").await?;
    match work.await {
        Ok(done) => {
            db.batch(WHAT, "release savepoint tributary_added").await?;
            Ok(Some(done))
        }
        Err(error) => {
            db.batch(WHAT, "rollback to savepoint tributary_added").await?;
            tracing::debug!(%error, "something that was added stays");
            Ok(None)
        }
    }
}

/// Sets the sequences of the tables' columns back, and returns which stay. Not by `setval`, which no rollback takes back.
///
/// # Errors
/// Those of the target that end the transaction.
pub(super) async fn set_sequences_back(db: &Db, backup: &Backup) -> Result<Vec<String>> {
    let mut lines = Vec::new();
    for sequence in backup.written().flat_map(|table| &table.sequences) {
        let Sequence { name, last_value, is_called } = sequence;
        let now = format!("select (last_value, is_called) = ($1, $2) from {name}");
        let restart = format!("alter sequence {name} restart with {last_value}");
        let next = match is_called {
            true => format!("; do $$ begin perform nextval({}); end $$", literal(name)),
            false => String::new(),
        };
        let set_back = async {
            let rows = db.query(WHAT, &now, &[last_value, is_called]).await?;
            if rows.first().is_some_and(|row| row.get(0)) {
                return Ok(());
            }
            db.batch(WHAT, &(restart + &next)).await
        };
        if attempt(db, set_back).await?.is_none() {
            lines.push(format!("sequence {name} stays where it is: the role does not own it"));
        }
    }
    Ok(lines)
}

/// Takes away the users that were made for people since the backup, unless somebody has logged in as one or rows of the application refer
/// to it. Returns what was done.
///
/// # Errors
/// Those of the target that end the transaction.
pub(super) async fn remove_users(db: &Db, backup: &Backup) -> Result<Option<String>> {
    let sql = "select to_regclass('auth.users') is not null \
               and exists (select from tributary.created_auth_user where at >= $1)";
    let made = db.query(WHAT, sql, &[&backup.at]).await?;
    let profiles = backup.tables.iter().find(|table| table.role == "profiles");
    let (Some(profiles), true) = (profiles, made.first().is_some_and(|row| row.get(0))) else {
        return Ok(None);
    };
    let own = [profiles.table.clone(), "auth.identities".to_owned()];
    let referenced = is_referenced(db, "auth.users", "u", &own).await?;
    let sql = format!(
        "with gone as materialized (select u.id from tributary.created_auth_user c join auth.users u on u.id = c.user_id \
             where c.at >= $1 and u.last_sign_in_at is null and not exists (select from {} p where p.id = u.id) \
             and not ({referenced})), \
         i as (delete from auth.identities where user_id in (select id from gone)), \
         u as (delete from auth.users where id in (select id from gone) returning id) \
         delete from tributary.created_auth_user where user_id in (select id from u)",
        profiles.table
    );
    Ok(match attempt(db, db.execute(WHAT, &sql, &[&backup.at])).await? {
        Some(0) => Some("users that were made in auth.users stay: somebody came as one, or rows of the application refer to it".to_owned()),
        Some(users) => Some(format!("{users} users that were made in auth.users are gone again")),
        None => Some("users that were made in auth.users stay: the role may not delete them, or something refers to them".to_owned()),
    })
}

/// The condition that a row of a table of other tables than these refers to a row, whatever would become of the one that refers.
async fn is_referenced(db: &Db, table: &str, alias: &str, left_out: &[String]) -> Result<String> {
    let keys = foreign_key::to(db, &[table.to_owned()], left_out).await?;
    // Rows of the auth service are those of a user who came: that is looked at itself.
    let keys = keys.iter().filter(|key| !key.table.starts_with("auth."));
    let each = keys.map(|key| match key.is_visible {
        // The server refuses the delete.
        false if key.on_delete == OnDelete::Refuse => String::new(),
        false => " or true".to_owned(),
        true => format!(" or exists (select from {} r where {})", key.table, key.joins("r", alias)),
    });
    Ok(format!("false{}", each.collect::<String>()))
}

impl Added {
    fn named(&self) -> String {
        let Self { kind, relation, name } = self;
        match kind.as_str() {
            "table" => format!("table {relation}"),
            "course" => format!("course {name} of {relation}"),
            _ => format!("{kind} {name} of {relation}"),
        }
    }

    fn statement(&self) -> String {
        let (relation, name) = (&self.relation, quote_identifier(&self.name));
        let schema = relation.rsplit_once(".\"").map_or("", |(schema, _)| schema);
        match self.kind.as_str() {
            "table" => format!("drop table if exists {relation} restrict"),
            "column" => format!("alter table {relation} drop column if exists {name} restrict"),
            "index" => format!("drop index if exists {schema}.{name}"),
            _ => format!(
                "delete from {relation} where id::text = '{}'",
                self.name.replace('\'', "''")
            ),
        }
    }

    /// Whether nothing is lost by its going.
    async fn is_unused(&self, db: &Db, backup: &Backup) -> Result<bool> {
        let sql = match self.kind.as_str() {
            "table" => format!("select not exists (select from {})", self.relation),
            "column" => {
                let table = backup.tables.iter().find(|table| table.table == self.relation);
                let Some(table) = table.filter(|table| table.columns.contains(&self.name)) else {
                    return Ok(false);
                };
                let (copy, name) = (backup.copy_of(table), quote_identifier(&self.name));
                format!("select count(distinct row(b.{name})::text) <= 1 from {copy} b")
            }
            "course" => format!(
                "select not exists (select from {} t where t.id::text = {} and ({}))",
                self.relation,
                literal(&self.name),
                is_referenced(db, &self.relation, "t", &[]).await?,
            ),
            _ => return Ok(true),
        };
        let there = "select to_regclass($1) is not null";
        let there = db.query(WHAT, there, &[&self.relation]).await?;
        if !there.first().is_some_and(|row| row.get(0)) {
            return Ok(true);
        }
        Ok(db.query(WHAT, &sql, &[]).await?.first().is_some_and(|row| row.get(0)))
    }
}
