//! Target rows held against what they should say, without writing: for `verify`.
//!
//! Values are compared as writing compares them: cast to each column's own type, owned columns only (P5).

use std::collections::HashMap;

use tokio_postgres::Row;
use uuid::Uuid;

use super::column_types::column_types;
use super::statements::{MANAGED, comparable, new_rows};
use crate::config::Target;
use crate::engine::columns::{ENROLLMENT, PROFILE, TRANSACTION};
use crate::engine::diff::{EnrollmentWrite, ProfileWrite, TransactionWrite};
use crate::error::{Error, Result};
use crate::pg::{Client, TextColumns, Tx};

/// The statements that compare.
#[derive(Debug, Clone)]
pub struct Comparison {
    profiles: String,
    transactions: String,
    enrollments: String,
    supported: String,
    claimed: String,
    of_nobody: String,
}

/// A row that is not what it should be.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Differing {
    /// Its id, or the one that it should have.
    pub id: Uuid,
    /// Of an enrollment: whose it is.
    pub user: Option<Uuid>,
    /// Whether there is such a row.
    pub is_there: bool,
    /// The columns that differ; none where the row is missing.
    pub columns: Vec<Column>,
}

/// A column that differs.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Column {
    /// Its name.
    pub name: String,
    /// What is there.
    pub found: Option<String>,
    /// What should be there.
    pub expected: Option<String>,
}

/// A transaction that says which source row it is of.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Claim {
    /// The transaction.
    pub id: Uuid,
    /// The feed's name.
    pub source: Option<String>,
    /// The source key.
    pub source_id: Option<String>,
    /// Whether its person is outside of a rollout; `None`: it is no person's.
    pub outside: Option<bool>,
}

impl Claim {
    /// Reads them of transactions `t`.
    #[must_use]
    pub fn select(transactions: &str) -> String {
        format!(
            "select t.id, tributary.metadata(t.metadata) ->> 'source', tributary.metadata(t.metadata) ->> 'source_id', \
               case when t.user_id is not null then \
                 (select true from tributary.person o where o.profile_id = t.user_id and o.outside limit 1) is not null end \
             from {transactions} t"
        )
    }

    /// Reads a page of them, in the order of their ids.
    #[must_use]
    pub fn select_page(transactions: &str) -> String {
        format!("{} where t.id > $1 order by t.id limit $2", Self::select(transactions))
    }

    /// Of a row of [`Claim::select`].
    #[must_use]
    pub fn read(row: &Row) -> Self {
        Self { id: row.get(0), source: row.get(1), source_id: row.get(2), outside: row.get(3) }
    }
}

impl Comparison {
    /// Reads the catalog of the target.
    ///
    /// # Errors
    /// Those of the target; a refusal where a table or a column is missing.
    pub async fn read(client: &Client, target: &Target) -> Result<Self> {
        let profile = column_types(client, &target.profiles).await?;
        let transaction = column_types(client, &target.transactions).await?;
        let enrollment = column_types(client, &target.enrollments).await?;
        let (transactions, enrollments) =
            (target.transactions.quoted(), target.enrollments.quoted());
        Ok(Self {
            profiles: of_profiles(&target.profiles.quoted(), &profile)?,
            transactions: of_transactions(&transactions, &transaction)?,
            enrollments: of_enrollments(&enrollments, &enrollment)?,
            supported: format!(
                "select e.id, e.user_id from {enrollments} e \
                 where e.user_id = any($1) and {MANAGED} and e.transaction_id is not null \
                   and not exists (select from unnest($2::uuid[], $3::uuid[]) as k (u, c) \
                     where k.u = e.user_id and k.c = e.course_id)"
            ),
            claimed: Claim::select_page(&transactions),
            of_nobody: format!(
                "select e.id, e.user_id, coalesce({MANAGED} and e.transaction_id is not null \
                   and (select true from tributary.person p where p.profile_id = e.user_id limit 1) is null, false) \
                 from {enrollments} e where e.id > $1 order by e.id limit $2"
            ),
        })
    }

    /// Profiles that are not as they should be.
    ///
    /// # Errors
    /// Those of the target.
    pub async fn profiles(&self, tx: &Tx, rows: &[&ProfileWrite]) -> Result<Vec<Differing>> {
        let columns = TextColumns::of(rows, |row| row.values.clone());
        compared(tx, "target: comparing profiles", &self.profiles, &columns).await
    }

    /// Transactions that are not as they should be.
    ///
    /// # Errors
    /// Those of the target.
    pub async fn transactions(
        &self,
        tx: &Tx,
        rows: &[&TransactionWrite],
    ) -> Result<Vec<Differing>> {
        let columns = TextColumns::of(rows, |row| row.values.clone());
        compared(tx, "target: comparing transactions", &self.transactions, &columns).await
    }

    /// Enrollments that are not as they should be.
    ///
    /// # Errors
    /// Those of the target.
    pub async fn enrollments(&self, tx: &Tx, rows: &[&EnrollmentWrite]) -> Result<Vec<Differing>> {
        let columns = TextColumns::of(rows, |row| row.values.clone());
        compared(tx, "target: comparing enrollments", &self.enrollments, &columns).await
    }

    /// Managed enrollments of these profiles that show a transaction and are none of these, with their profiles
    /// (SPEC §5.4).
    ///
    /// # Errors
    /// Those of the target.
    pub async fn unsupported(
        &self,
        tx: &Tx,
        profiles: &[Uuid],
        supported: &[(Uuid, Uuid)],
    ) -> Result<Vec<(Uuid, Uuid)>> {
        if profiles.is_empty() {
            return Ok(Vec::new());
        }
        let (users, courses): (Vec<Uuid>, Vec<Uuid>) = supported.iter().copied().unzip();
        let params: [crate::pg::Param<'_>; 3] = [&profiles, &users, &courses];
        let rows = tx.query("target: comparing enrollments", &self.supported, &params).await?;
        Ok(rows.iter().map(|row| (row.get(0), row.get(1))).collect())
    }

    /// A page of the transactions in the order of their ids.
    ///
    /// # Errors
    /// Those of the target.
    pub async fn claims(&self, tx: &Tx, after: Uuid, limit: i64) -> Result<Vec<Claim>> {
        let rows =
            tx.query("target: reading transactions", &self.claimed, &[&after, &limit]).await?;
        Ok(rows.iter().map(Claim::read).collect())
    }

    /// A page of the enrollments in the order of their ids: the last id, how many there are, and the managed ones of
    /// profiles that are no person's, with these profiles. `None` at the end.
    ///
    /// # Errors
    /// Those of the target.
    pub async fn enrollments_of_nobody(
        &self,
        tx: &Tx,
        after: Uuid,
        limit: i64,
    ) -> Result<Option<(Uuid, u64, Vec<(Uuid, Uuid)>)>> {
        let rows =
            tx.query("target: reading enrollments", &self.of_nobody, &[&after, &limit]).await?;
        let Some(last) = rows.last().map(|row| row.get(0)) else { return Ok(None) };
        let of_nobody = rows.iter().filter(|row| row.get(2));
        let of_nobody = of_nobody.map(|row| (row.get(0), row.get(1))).collect();
        Ok(Some((last, rows.len() as u64, of_nobody)))
    }
}

async fn compared(tx: &Tx, what: &str, sql: &str, columns: &TextColumns) -> Result<Vec<Differing>> {
    if columns.is_empty() {
        return Ok(Vec::new());
    }
    let rows = tx.query(what, sql, &columns.params()).await?;
    rows.iter().map(differing).collect()
}

fn differing(row: &Row) -> Result<Differing> {
    let unreadable = |error| Error::failed("target: reading what differs", error);
    let names: Vec<String> = row.try_get(3).map_err(unreadable)?;
    let found: Vec<Option<String>> = row.try_get(4).map_err(unreadable)?;
    let expected: Vec<Option<String>> = row.try_get(5).map_err(unreadable)?;
    let columns = names.into_iter().zip(found.into_iter().zip(expected));
    Ok(Differing {
        id: row.try_get(0).map_err(unreadable)?,
        user: row.try_get(1).map_err(unreadable)?,
        is_there: row.try_get(2).map_err(unreadable)?,
        columns: columns
            .map(|(name, (found, expected))| Column { name, found, expected })
            .collect(),
    })
}

/// A column with what it is compared by: when it differs, what is there and what should be.
struct Compared {
    name: &'static str,
    differs: String,
    found: String,
    expected: String,
}

impl Compared {
    fn of(name: &'static str, types: &HashMap<String, String>) -> Self {
        let (old, new) = (comparable("t", name, types), comparable("n", name, types));
        Self {
            name,
            differs: format!("{old} is distinct from {new}"),
            found: format!("t.{name}::text"),
            expected: format!("n.{name}::text"),
        }
    }

    fn only_where(mut self, condition: &str) -> Self {
        self.differs = format!("({condition} and {})", self.differs);
        self
    }
}

/// Each row of `n` that is not there, or differs from its row `t`, with the names and both values of what differs.
fn statement(new: &str, join: &str, id: &str, user: &str, columns: &[Compared]) -> String {
    let values: Vec<String> = columns
        .iter()
        .map(|c| format!("({}, '{}', {}, {})", c.differs, c.name, c.found, c.expected))
        .collect();
    format!(
        "with n as materialized ({new}) \
         select {id}, {user}, t.id is not null, d.names, d.found, d.expected \
         from n left join {join} \
         cross join lateral ( \
           select coalesce(array_agg(c.name::text), '{{}}') as names, \
             coalesce(array_agg(c.found), '{{}}') as found, \
             coalesce(array_agg(c.expected), '{{}}') as expected \
           from (values {values}) as c (differs, name, found, expected) \
           where c.differs and t.id is not null) d \
         where t.id is null or d.names <> '{{}}'",
        values = values.join(", "),
    )
}

/// Of a profile without a time of creation that of the first write is not compared (SPEC §4.2); an address that
/// somebody else's profile has is not written.
fn of_profiles(table: &str, types: &HashMap<String, String>) -> Result<String> {
    let columns: Vec<Compared> = PROFILE[1..]
        .iter()
        .map(|name| match *name {
            "created_at" => Compared::of(name, types).only_where("n.created_at is not null"),
            "email" => Compared::of(name, types).only_where(&format!(
                "not exists (select from {table} o where o.email = n.email and o.id <> n.id)"
            )),
            _ => Compared::of(name, types),
        })
        .collect();
    let join = format!("{table} t on t.id = n.id");
    Ok(statement(&new_rows(&PROFILE, types)?, &join, "n.id", "n.id", &columns))
}

fn of_transactions(table: &str, types: &HashMap<String, String>) -> Result<String> {
    let columns: Vec<Compared> =
        TRANSACTION[1..].iter().map(|name| Compared::of(name, types)).collect();
    let join = format!("{table} t on t.id = n.id");
    Ok(statement(&new_rows(&TRANSACTION, types)?, &join, "n.id", "n.user_id", &columns))
}

/// An enrollment is found by person and course, and keeps its id. One that is completed keeps its status.
fn of_enrollments(table: &str, types: &HashMap<String, String>) -> Result<String> {
    let mut columns: Vec<Compared> = ENROLLMENT[3..]
        .iter()
        .map(|name| match *name {
            "status" => Compared::of(name, types).only_where("t.completion_date is null"),
            _ => Compared::of(name, types),
        })
        .collect();
    columns.push(Compared {
        name: "metadata",
        differs: "tributary.metadata(t.metadata) ->> 'managed_by' is distinct from 'tributary'"
            .to_owned(),
        found: "tributary.metadata(t.metadata) ->> 'managed_by'".to_owned(),
        expected: "'tributary'".to_owned(),
    });
    let join = format!("{table} t on t.user_id = n.user_id and t.course_id = n.course_id");
    Ok(statement(
        &new_rows(&ENROLLMENT, types)?,
        &join,
        "coalesce(t.id, n.id)",
        "n.user_id",
        &columns,
    ))
}
