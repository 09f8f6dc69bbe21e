//! `tributary.outside`: what is not written of those who are outside of a rollout (SPEC §7a).

use std::collections::HashSet;

use crate::config::{TableName, Target};
use crate::engine::rollout::{Rollout, Withheld};
use crate::error::{Context as _, Result};
use crate::pg::{Client, Db, Group, Tx};
use crate::status;

/// How far the rollout is, and whether anybody is counted as outside.
///
/// # Errors
/// Those of the target.
pub async fn rollout(db: &Db) -> Result<(Rollout, bool)> {
    let sql =
        "select rollout, narrowing, exists (select from tributary.outside) from tributary.state";
    let rows = db.query("target: reading the rollout", sql, &[]).await?;
    let Some(row) = rows.first() else { return Ok((Rollout::default(), false)) };
    let percent = u8::try_from(row.get::<_, i16>(0)).unwrap_or(100);
    Ok((Rollout { percent, narrowing: row.get(1) }, row.get(2)))
}

/// Sets how far the rollout is. Returns how far it was.
///
/// # Errors
/// Those of the target.
pub async fn set(db: &Db, percent: u8) -> Result<u8> {
    let sql = "update tributary.state s set rollout = $1, narrowing = before.narrowing or $1 < before.rollout, \
                   narrowed = s.narrowed or $1 < before.rollout \
               from (select rollout, narrowing from tributary.state) before returning before.rollout";
    let rows = db.query("target: recording the rollout", sql, &[&i16::from(percent)]).await?;
    Ok(rows.first().map_or(100, |row| u8::try_from(row.get::<_, i16>(0)).unwrap_or(100)))
}

/// Adds to a group what is withheld of owners. Those of whom nothing is lose their row.
pub fn write(group: &mut Group, withheld: &[(String, Withheld)]) {
    let (out, within): (Vec<_>, Vec<_>) =
        withheld.iter().partition(|(_, withheld)| *withheld != Withheld::default());
    if !within.is_empty() {
        let owners: Vec<String> = within.iter().map(|(owner, _)| owner.clone()).collect();
        let sql = "delete from tributary.outside where owner = any($1)";
        group.any("target: counting who is outside", sql, vec![Box::new(owners)]);
    }
    if out.is_empty() {
        return;
    }
    let of =
        |value: fn(&Withheld) -> i32| -> Vec<i32> { out.iter().map(|(_, w)| value(w)).collect() };
    let owners: Vec<String> = out.iter().map(|(owner, _)| owner.clone()).collect();
    let sql = "insert into tributary.outside as o (owner, profiles, transactions, enrollments, held) \
               select * from unnest($1::text[], $2::int[], $3::int[], $4::int[], $5::int[]) \
               on conflict (owner) do update set profiles = excluded.profiles, \
                   transactions = excluded.transactions, enrollments = excluded.enrollments, held = excluded.held \
               where (o.profiles, o.transactions, o.enrollments, o.held) is distinct from \
                   (excluded.profiles, excluded.transactions, excluded.enrollments, excluded.held)";
    group.any(
        "target: counting who is outside",
        sql,
        vec![
            Box::new(owners),
            Box::new(of(|w| w.profiles)),
            Box::new(of(|w| w.transactions)),
            Box::new(of(|w| w.enrollments)),
            Box::new(of(|w| w.held)),
        ],
    );
}

/// Those of these persons who are outside.
///
/// # Errors
/// Those of the target.
pub async fn among(tx: &Tx, owners: &[&str]) -> Result<HashSet<String>> {
    if owners.is_empty() {
        return Ok(HashSet::new());
    }
    let sql = "select email_key from tributary.person where email_key = any($1) and outside";
    let rows = tx.query("target: reading who is outside", sql, &[&owners]).await?;
    Ok(rows.iter().map(|row| row.get(0)).collect())
}

/// Whether it was ever narrowed.
///
/// # Errors
/// Those of the target.
pub async fn was_narrowed(tx: &Tx) -> Result<bool> {
    let sql = "select exists (select from tributary.state where narrowed)";
    let rows = tx.query("target: reading the rollout", sql, &[]).await?;
    Ok(rows.first().is_some_and(|row| row.get(0)))
}

/// How far a rollout is, and what is not written.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Counted {
    /// Percent.
    pub percent: u8,
    /// Profiles, one a person.
    pub profiles: u64,
    /// Transactions.
    pub transactions: u64,
    /// Enrollments.
    pub enrollments: u64,
    /// Unique values that a row of somebody outside holds.
    pub held: u64,
}

/// Counts what is not written.
///
/// # Errors
/// Those of the target.
pub async fn count(client: &Client) -> Result<Counted> {
    let sql = "select (select rollout from tributary.state), coalesce(sum(profiles), 0)::bigint, \
               coalesce(sum(transactions), 0)::bigint, coalesce(sum(enrollments), 0)::bigint, \
               coalesce(sum(held), 0)::bigint from tributary.outside";
    let row = client.query_one(sql, &[]).await.context("target: counting who is outside")?;
    let rows = |at: usize| row.get::<_, i64>(at).unsigned_abs();
    Ok(Counted {
        percent: u8::try_from(row.get::<_, Option<i16>>(0).unwrap_or(100)).unwrap_or(100),
        profiles: rows(1),
        transactions: rows(2),
        enrollments: rows(3),
        held: rows(4),
    })
}

/// Rows that the target has of people who are outside: profiles, transactions, enrollments.
///
/// # Errors
/// Those of the target.
pub async fn remains(db: &Db, target: &Target) -> Result<[u64; 3]> {
    let of = |table: &TableName, column: &str| {
        format!(
            "(select count(*) from tributary.person o join {} r on r.{column} = o.profile_id where o.outside)",
            table.quoted()
        )
    };
    let sql = format!(
        "select {}, {}, {}",
        of(&target.profiles, "id"),
        of(&target.transactions, "user_id"),
        of(&target.enrollments, "user_id")
    );
    let rows = db.query("target: counting who is outside", &sql, &[]).await?;
    let count = |at: usize| rows.first().map_or(0, |row| row.get::<_, i64>(at).unsigned_abs());
    Ok([count(0), count(1), count(2)])
}

impl From<Counted> for status::Rollout {
    fn from(counted: Counted) -> Self {
        let outside = status::Outside {
            profiles: counted.profiles,
            transactions: counted.transactions,
            enrollments: counted.enrollments,
            held_values: counted.held,
        };
        Self { percent: counted.percent, outside }
    }
}
