//! Rows of the target tables: profiles, transactions, enrollments.

use std::collections::HashSet;

use serde::{Deserialize, Serialize};
use uuid::Uuid;

use super::catalog::Tables;
use super::statements::{MANAGED, PARKED};
use crate::engine::diff::{EnrollmentWrite, OwnerWrite, ProfileWrite, TransactionWrite};
use crate::error::{Error, Result};
use crate::pg::{Group, Owned, Reached, TextColumns, Tx};

/// Rows written to one table.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct Written {
    /// Rows that existed and differed.
    pub updated: u64,
    /// Rows that were not there.
    pub inserted: u64,
}

/// What was written.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct Report {
    /// Rows of unified_profiles.
    pub profiles: Written,
    /// Rows of transactions.
    pub transactions: Written,
    /// Rows of enrollments.
    pub enrollments: Written,
    /// Transactions deleted.
    pub deleted: u64,
}

impl Report {
    /// Adds another report.
    pub fn add(&mut self, other: Self) {
        for (mine, theirs) in [
            (&mut self.profiles, other.profiles),
            (&mut self.transactions, other.transactions),
            (&mut self.enrollments, other.enrollments),
        ] {
            mine.updated += theirs.updated;
            mine.inserted += theirs.inserted;
        }
        self.deleted += other.deleted;
    }

    /// Counts what was written in the metrics.
    pub fn count(&self) {
        for (table, written) in [
            ("profiles", self.profiles),
            ("transactions", self.transactions),
            ("enrollments", self.enrollments),
        ] {
            crate::metrics::count_rows_applied(table, "insert", written.inserted);
            crate::metrics::count_rows_applied(table, "update", written.updated);
        }
        crate::metrics::count_rows_applied("transactions", "delete", self.deleted);
    }
}

/// Which rows are known not to be in the target tables yet.
#[derive(Debug, Default)]
pub struct Fresh {
    /// Profiles.
    pub profiles: HashSet<Uuid>,
    /// Transactions.
    pub transactions: HashSet<Uuid>,
}

/// Where the counts of the target's statements are in what a group reached: those that return counts, and those that
/// only insert.
#[derive(Debug, Default)]
struct Places {
    counted: Vec<usize>,
    inserted: Option<usize>,
}

impl Places {
    fn written(&self, reached: &Reached) -> Written {
        let count = |at: usize, i: usize| reached.get(at).and_then(|c| c.get(i)).copied();
        let sum = |i| self.counted.iter().filter_map(|at| count(*at, i)).sum::<u64>();
        let inserted = self.inserted.and_then(|at| count(at, 0)).unwrap_or(0);
        Written { updated: sum(2), inserted: sum(3) + inserted }
    }
}

/// The places of each table.
#[derive(Debug, Default)]
pub struct Positions {
    profiles: Places,
    transactions: Places,
    enrollments: Places,
}

impl Positions {
    /// The report of a group that was sent.
    #[must_use]
    pub fn report(&self, reached: &Reached) -> Report {
        Report {
            profiles: self.profiles.written(reached),
            transactions: self.transactions.written(reached),
            enrollments: self.enrollments.written(reached),
            deleted: 0,
        }
    }
}

/// Adds what these owners' rows must become to a group: profiles, then transactions, then enrollments, which
/// reference both.
///
/// # Errors
/// [`Error::Data`] where a value does not fit its column.
pub fn owners(
    group: &mut Group,
    tables: &Tables,
    owners: &[&OwnerWrite],
    fresh: &Fresh,
) -> Result<Positions> {
    let mut positions = Positions::default();
    let profiles: Vec<&ProfileWrite> = owners.iter().filter_map(|o| o.profile.as_ref()).collect();
    add_profiles(group, tables, &profiles, fresh, &mut positions);
    let transactions: Vec<&TransactionWrite> =
        owners.iter().flat_map(|owner| &owner.transactions).collect();
    add_transactions(group, tables, &transactions, fresh, &mut positions)?;
    let enrollments: Vec<&EnrollmentWrite> =
        owners.iter().flat_map(|owner| owner.enrollments.iter().flatten()).collect();
    if !enrollments.is_empty() {
        positions.enrollments.counted.push(group.len());
        let columns = TextColumns::of(&enrollments, |e| e.values.clone());
        group.counted("target: writing enrollments", &*tables.write_enrollments, columns.owned());
    }
    revoke(group, tables, owners, owners);
    Ok(positions)
}

fn add_profiles(
    group: &mut Group,
    tables: &Tables,
    profiles: &[&ProfileWrite],
    fresh: &Fresh,
    positions: &mut Positions,
) {
    if profiles.is_empty() {
        return;
    }
    park_unique_values(group, tables, profiles);
    let (known, others): (Vec<&ProfileWrite>, Vec<&ProfileWrite>) =
        profiles.iter().partition(|profile| profile.is_known);
    if let Some(sql) = tables.create_auth_users.as_ref().filter(|_| !others.is_empty()) {
        let (ids, emails): (Vec<Uuid>, Vec<String>) =
            others.iter().map(|profile| (profile.id, profile.email.clone())).unzip();
        let what = "target: making users";
        group.any(what, sql.clone(), vec![Box::new(ids), Box::new(emails)]);
    }
    // A trigger of auth.users may have made the profile of a user that is made.
    let is_new = |id: &Uuid| !tables.creates_auth_users && fresh.profiles.contains(id);
    let (new, others): (Vec<&ProfileWrite>, Vec<&ProfileWrite>) =
        others.iter().partition(|profile| is_new(&profile.id));
    let values = |rows: &[&ProfileWrite]| TextColumns::of(rows, |p| p.values.clone()).owned();
    if !new.is_empty() {
        positions.profiles.inserted = Some(group.len());
        let what = "target: inserting profiles";
        group.exactly(new.len(), what, &*tables.insert_profiles, values(&new));
    }
    for (rows, sql) in [(known, &tables.update_profiles), (others, &tables.write_profiles)] {
        if !rows.is_empty() {
            positions.profiles.counted.push(group.len());
            group.counted("target: writing profiles", &**sql, values(&rows));
        }
    }
}

/// Frees addresses and systemeio_ids that other rows hold: of rows in the same set, which get their own next, an
/// address that is no longer the holder's, who gets the own one back where it is free, and a systemeio_id of any person of ours (SPEC §4.5).
pub(super) fn park_unique_values(group: &mut Group, tables: &Tables, profiles: &[&ProfileWrite]) {
    if profiles.is_empty() {
        return;
    }
    let (table, email_type) = (&tables.names.profiles, &tables.email_type);
    let placed = profiles.iter().filter(|profile| !profile.is_known);
    let (ids, emails): (Vec<Uuid>, Vec<String>) =
        placed.map(|profile| (profile.id, profile.email.clone())).unzip();
    let park = format!(
        "with freed as (update {table} p set email = coalesce(( \
             select o.email_key::{email_type} from tributary.person o \
             where o.profile_id = p.id and o.state = 'present' and not p.id = any($1) \
               and not exists (select from {table} q where q.email = o.email_key::{email_type}) \
             limit 1), ({PARKED})::{email_type}) \
         from unnest($1::uuid[], $2::text[]) as n (id, email) \
         where p.email = n.email::{email_type} and p.id <> n.id and (p.id = any($1) or exists ( \
             select from tributary.person o \
             where o.profile_id = p.id and o.email_key <> n.email and not o.outside)) \
         returning p.id) \
         update tributary.person set profile_digest = null \
         where profile_id in (select id from freed) and not profile_id = any($1)"
    );
    let what = "target: freeing unique values";
    if !ids.is_empty() {
        group.any(what, park, vec![Box::new(ids), Box::new(emails)]);
    }
    let held = profiles.iter().filter(|profile| profile.systemeio_id.is_some());
    let (ids, systemeio): (Vec<Uuid>, Vec<Option<String>>) =
        held.map(|profile| (profile.id, profile.systemeio_id.clone())).unzip();
    if ids.is_empty() {
        return;
    }
    // What is freed is no longer what was last written of that person.
    let kind = &tables.systemeio_type;
    let park = format!(
        "with freed as (update {table} p set systemeio_id = null \
         from unnest($1::uuid[], $2::text[]) as n (id, systemeio_id) \
         where p.systemeio_id = n.systemeio_id::{kind} and p.id <> n.id \
           and exists (select from tributary.person o where o.profile_id = p.id and not o.outside) \
         returning p.id) \
         update tributary.person set profile_digest = null \
         where profile_id in (select id from freed) and not profile_id = any($1)"
    );
    group.any(what, park, vec![Box::new(ids), Box::new(systemeio)]);
}

/// Those of the systemeio_ids of these writes that rows of people outside of the rollout hold. `within` are profiles whose people are in
/// by now, whatever is recorded of them.
///
/// # Errors
/// Those of the target.
pub async fn held_outside(
    tx: &Tx,
    tables: &Tables,
    writes: &[OwnerWrite],
    within: &[Uuid],
) -> Result<HashSet<String>> {
    let profiles = writes.iter().filter_map(|write| write.profile.as_ref());
    let values: Vec<&str> = profiles.filter_map(|p| p.systemeio_id.as_deref()).collect();
    if values.is_empty() {
        return Ok(HashSet::new());
    }
    let sql = format!(
        "select p.systemeio_id::text from unnest($1::text[]) as n (value) \
         join {} p on p.systemeio_id = n.value::{} \
         join tributary.person o on o.profile_id = p.id and o.outside and not o.profile_id = any($2)",
        tables.names.profiles, tables.systemeio_type
    );
    let rows = tx.query("target: looking for unique values", &sql, &[&values, &within]).await?;
    Ok(rows.iter().map(|row| row.get(0)).collect())
}

fn add_transactions(
    group: &mut Group,
    tables: &Tables,
    transactions: &[&TransactionWrite],
    fresh: &Fresh,
    positions: &mut Positions,
) -> Result<()> {
    transactions.iter().try_for_each(|transaction| fits(tables, transaction))?;
    let (known, others): (Vec<&TransactionWrite>, Vec<&TransactionWrite>) =
        transactions.iter().partition(|transaction| transaction.is_known);
    let (new, others): (Vec<&TransactionWrite>, Vec<&TransactionWrite>) =
        others.iter().partition(|transaction| fresh.transactions.contains(&transaction.id));
    let values = |rows: &[&TransactionWrite]| TextColumns::of(rows, |t| t.values.clone()).owned();
    if !new.is_empty() {
        positions.transactions.inserted = Some(group.len());
        let what = "target: inserting transactions";
        group.exactly(new.len(), what, &*tables.insert_transactions, values(&new));
    }
    for (rows, sql) in [(known, &tables.update_transactions), (others, &tables.write_transactions)]
    {
        if !rows.is_empty() {
            positions.transactions.counted.push(group.len());
            group.counted("target: writing transactions", &**sql, values(&rows));
        }
    }
    Ok(())
}

/// Money is never rounded (SPEC §3.8).
pub(super) fn fits(tables: &Tables, transaction: &TransactionWrite) -> Result<()> {
    for (column, digits, keeps) in [
        ("amount", transaction.digits.0, tables.amount_keeps),
        ("payment_provider_fee", transaction.digits.1, tables.fee_keeps),
    ] {
        if !keeps.all(digits) {
            let cause = format!("the column {column} keeps fewer digits");
            return Err(Error::data("target: writing transactions", cause));
        }
    }
    Ok(())
}

/// What becomes of a managed enrollment `e` without a transaction: a completed one keeps its status (SPEC §5.4). An enum that has no
/// such word refuses it where there is one to be revoked, not before.
pub(super) fn revoked(tables: &Tables) -> String {
    format!(
        "transaction_id = null, updated_at = now(), status = case when e.completion_date is null \
             then 'revoked'::text::{} else e.status end",
        tables.enrollment_status_type
    )
}

/// Revokes managed enrollments of the profiles of `owners` that no transaction opens any more: all but those of `kept`
/// (SPEC §5.4).
pub fn revoke(group: &mut Group, tables: &Tables, owners: &[&OwnerWrite], kept: &[&OwnerWrite]) {
    let profiles: Vec<Uuid> = owners.iter().filter_map(|owner| owner.revoke).collect();
    if profiles.is_empty() {
        return;
    }
    let kept = kept.iter().filter_map(|owner| Some((owner.user?, owner.enrollments.as_ref()?)));
    let (users, courses): (Vec<Uuid>, Vec<Uuid>) =
        kept.flat_map(|(user, all)| all.iter().map(move |e| (user, e.course))).unzip();
    let sql = format!(
        "update {} e set {} \
         where e.user_id = any($1) and {MANAGED} \
           and (e.transaction_id is not null \
             or (e.completion_date is null and e.status::text is distinct from 'revoked')) \
           and not exists (select from unnest($2::uuid[], $3::uuid[]) as k (u, c) \
             where k.u = e.user_id and k.c = e.course_id)",
        tables.names.enrollments,
        revoked(tables)
    );
    let params: Vec<Owned> = vec![Box::new(profiles), Box::new(users), Box::new(courses)];
    group.any("target: revoking enrollments", sql, params);
}

/// Revokes those of these managed enrollments whose profiles are no person's.
pub fn revoke_of_nobody(group: &mut Group, tables: &Tables, ids: Vec<Uuid>) {
    let sql = format!(
        "update {} e set {} where e.id = any($1) and {MANAGED} \
           and not exists (select from tributary.person p where p.profile_id = e.user_id)",
        tables.names.enrollments,
        revoked(tables)
    );
    group.any("target: revoking enrollments", sql, vec![Box::new(ids)]);
}
