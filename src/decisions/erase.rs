//! `erase EMAIL` (SPEC §7): a person is forgotten in the target and in everything of the daemon's own.
//!
//! One transaction. The tables of schema `tributary` that can name a person are listed here, in one place.

use uuid::Uuid;

use crate::apply::Applier;
use crate::error::{Error, Result};
use crate::facts::EmailKey;
use crate::pg::{Db, Tx};
use crate::store;
use crate::store::backfill;
use crate::targets::erase::{Erased, erase as erase_profile};

/// Tables that not every version has, whose rows are deleted where they name the person: by an address, or by the
/// id of a profile too.
const OTHERS: [(&str, bool); 8] = [
    ("report", true),
    ("operation_log", false),
    ("import_reject", false),
    ("import_run", false),
    ("id_map", true),
    ("adopted_profile", true),
    ("auth_email", true),
    ("created_auth_user", true),
];

/// A person by everything that names it.
#[derive(Debug, Clone, Default)]
pub struct Person {
    /// The e-mail key after aliases, and those that belong to it.
    pub addresses: Vec<String>,
    /// Its profiles: that of each address.
    pub profiles: Vec<Uuid>,
}

impl Person {
    /// Whom an address belongs to.
    ///
    /// # Errors
    /// Those of the target.
    pub async fn find(db: &Db, email: &EmailKey) -> Result<Self> {
        let sql = "with root as (
                     select coalesce((select root_key from tributary.alias where from_key = $1), $1) as key)
                   select n.address, p.profile_id from (
                     select key as address from root
                     union select a.from_key from tributary.alias a join root on a.root_key = root.key) n
                   left join tributary.person p on p.email_key = n.address order by 1";
        let rows = db.query("target: looking up a person", sql, &[&email.as_str()]).await?;
        Ok(Self {
            addresses: rows.iter().map(|row| row.get(0)).collect(),
            profiles: rows.iter().filter_map(|row| row.get(1)).collect(),
        })
    }

    /// Regular expressions that find each address, in any case, but not within a longer one.
    #[must_use]
    pub fn patterns(&self) -> Vec<String> {
        self.addresses.iter().map(|address| pattern(address)).collect()
    }

    /// As [`Person::patterns`], and the ids of the profiles.
    #[must_use]
    pub fn patterns_and_ids(&self) -> Vec<String> {
        let ids = self.profiles.iter().map(Uuid::to_string);
        self.patterns().into_iter().chain(ids).collect()
    }
}

/// `|` and `#` stand beside addresses in subjects, so they end one.
fn pattern(address: &str) -> String {
    let escaped: String = address
        .chars()
        .flat_map(|c| {
            let plain = c.is_alphanumeric() || c == '@';
            (!plain).then_some('\\').into_iter().chain([c])
        })
        .collect();
    format!("(^|[^[:alnum:].!$%&'*+/=?^_`{{}}~-]){escaped}($|[^[:alnum:].-]|\\.($|[^[:alnum:]]))")
}

/// Forgets the person; what was done, in words without an address: it stays in the answer of the command.
pub(super) async fn erase(
    applier: &Applier,
    tx: &Tx,
    command: i64,
    email: &EmailKey,
) -> Result<String> {
    if backfill::progress(tx.db()).await?.is_some_and(|at| !at.is_done()) {
        return Err(Error::refused(
            "the feeds are being read, so that it is not known whether one has this person",
            "ask again once `tributary status` shows the phase streaming",
        ));
    }
    let person = Person::find(tx.db(), email).await?;
    refuse_while_known(applier, tx, &person).await?;
    let mut done = Vec::new();
    for profile in &person.profiles {
        done.push(match erase_profile(tx, &applier.tables, *profile).await? {
            Erased::NotThere => continue,
            Erased::Deleted => format!("profile {profile} is deleted"),
            Erased::Emptied(by) => {
                format!("profile {profile} is emptied, and stays as {by} references it")
            }
        });
    }
    if applier.tables.link_auth_users && has_user(applier, tx, &person).await? {
        done.push("its user in auth.users stays: remove it there".to_owned());
    }
    let rows = forget(tx, command, &person).await?;
    let schema = tx.db().client().schema().name();
    done.push(format!("{rows} rows of schema {schema} are deleted"));
    store::alias::derive(tx.db()).await?;
    Ok(done.join("\n"))
}

async fn has_user(applier: &Applier, tx: &Tx, person: &Person) -> Result<bool> {
    let sql = format!(
        "select exists (select from {} u where u.email = any($1))",
        applier.tables.auth_users
    );
    let rows = tx.query("target: looking for auth users", &sql, &[&person.addresses]).await?;
    Ok(rows.first().is_some_and(|row| row.get(0)))
}

/// Rows of the person, and rows with its address that the configuration leaves out or a decision gives to somebody else.
async fn refuse_while_known(applier: &Applier, tx: &Tx, person: &Person) -> Result<()> {
    let left_out = "exists (select from unnest($1::text[]) a (address) \
        where strpos(lower(encode(r.raw, 'escape')), encode(convert_to(a.address, 'UTF8'), 'escape')) > 0)";
    let sql = format!(
        "select r.feed, r.key from tributary.source_row r where r.owner = any($1) \
         union all \
         select r.feed, r.key from unnest(array['excluded', 'skipped']) as w (word) \
         join tributary.source_row r on r.owner > (w.word || ' ') collate \"C\" \
           and r.owner < (w.word || '!') collate \"C\" and {left_out} \
         union all \
         select r.feed, r.key from tributary.decision d \
         join tributary.feed f on starts_with(d.a, f.name || ':') \
         join tributary.source_row r on r.feed = f.number and r.key = substr(d.a, length(f.name) + 2) \
         where d.kind = 'email' and (r.key ~* any($2) or {left_out}) \
         limit 1"
    );
    let patterns = person.patterns();
    let rows = tx.query("target: looking for rows", &sql, &[&person.addresses, &patterns]).await?;
    let Some(row) = rows.first() else { return Ok(()) };
    let id = (crate::facts::Feed::new(row.get(0)), crate::facts::SourceKey(row.get(1)));
    Err(Error::refused(
        format!("the source still has this person: row {}", applier.env.feeds.discreet_row(&id)),
        "delete the person's rows there first, as they would bring it back; `tributary explain EMAIL` names them",
    ))
}

/// Everything in schema `tributary` that names the person, and how many rows that was.
async fn forget(tx: &Tx, command: i64, person: &Person) -> Result<u64> {
    const WHAT: &str = "target: forgetting a person";
    let (addresses, profiles) = (&person.addresses, &person.profiles);
    let patterns = person.patterns();
    let scope = |word: &'static str| addresses.iter().map(move |a| format!("{word}:{a}"));
    let scopes: Vec<String> = scope("owner").chain(scope("pair")).collect();
    let mut rows = 0;
    for sql in [
        "delete from tributary.person where email_key = any($1)",
        "delete from tributary.person_search where email_key = any($1)",
        "delete from tributary.quarantine where owner = any($1)",
        "delete from tributary.outside where owner = any($1)",
        "delete from tributary.email_before where email = any($1)",
        // Their undo data goes with them.
        "delete from tributary.decision where kind in ('alias', 'separate', 'email') \
         and (a = any($1) or b = any($1))",
    ] {
        rows += tx.execute(WHAT, sql, &[addresses]).await?;
    }
    // Of rows whose key is the address, and that are gone.
    let sql = "delete from tributary.decision d where d.kind in ('email', 'product') and d.a ~* any($1) \
               and not exists (select from tributary.feed f join tributary.source_row r \
                   on r.feed = f.number and r.key = substr(d.a, length(f.name) + 2) \
                   where starts_with(d.a, f.name || ':'))";
    rows += tx.execute(WHAT, sql, &[&patterns]).await?;
    let sql = "delete from tributary.profile_email \
               where profile_id = any($1) or email_key = any($2) or email ~* any($3)";
    rows += tx.execute(WHAT, sql, &[profiles, addresses, &patterns]).await?;
    // A delete that is blocked is still to be done.
    let sql = "delete from tributary.conflict where kind <> 'delete_blocked' \
               and (scope = any($1) or also = any($1) \
                 or concat_ws(' ', subject, scope, also, note, evidence) ~* any($2))";
    rows += tx.execute(WHAT, sql, &[&scopes, &patterns]).await?;
    let sql = "update tributary.decision set \
                 note = case when note ~* any($1) then null else note end, \
                 reverted_note = case when reverted_note ~* any($1) then null else reverted_note end \
               where note ~* any($1) or reverted_note ~* any($1)";
    tx.execute(WHAT, sql, &[&patterns]).await?;
    let sql = "delete from tributary.command where finished_at is not null \
               and concat_ws(' ', request, answer) ~* any($1)";
    rows += tx.execute(WHAT, sql, &[&patterns]).await?;
    let sql = "update tributary.command \
               set request = jsonb_set(request, '{request,email}', '\"\"') where id = $1";
    tx.execute(WHAT, sql, &[&command]).await?;
    for (table, with_ids) in OTHERS {
        let sql = "select to_regclass('tributary.' || $1::text) is not null";
        let there = tx.query(WHAT, sql, &[&table]).await?;
        if there.first().is_some_and(|row| row.get(0)) {
            let found = if with_ids { person.patterns_and_ids() } else { patterns.clone() };
            let sql = format!("delete from tributary.{table} x where x::text ~* any($1)");
            rows += tx.execute(WHAT, &sql, &[&found]).await?;
        }
    }
    Ok(rows)
}

/// The backups that still hold a person: schemas `tributary_backup_…`, each with its tables. Reads all of them.
///
/// # Errors
/// Those of the target.
pub async fn backups_with(db: &Db, person: &Person) -> Result<Vec<String>> {
    const WHAT: &str = "target: looking through the backups";
    let sql = "select c.oid::regclass::text, n.nspname::text, c.relname::text from pg_class c \
               join pg_namespace n on n.oid = c.relnamespace \
               where n.nspname like 'tributary\\_backup\\_%' and c.relkind in ('r', 'p') order by 2, 3";
    let patterns = person.patterns_and_ids();
    let mut found = Vec::new();
    for row in db.query(WHAT, sql, &[]).await? {
        let (quoted, schema, table): (String, String, String) =
            (row.get(0), row.get(1), row.get(2));
        let sql = format!("select from {quoted} x where x::text ~* any($1) limit 1");
        if !db.query(WHAT, &sql, &[&patterns]).await?.is_empty() {
            found.push(format!("{schema}.{table}"));
        }
    }
    Ok(found)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_pattern_takes_nothing_for_itself() {
        let pattern = pattern("a.b+c@example.com");
        assert!(pattern.contains("a\\.b\\+c@example\\.com"), "{pattern}");
    }
}
