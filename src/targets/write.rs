//! Rows of the target tables: profiles, transactions, enrollments.

use std::collections::HashSet;

use uuid::Uuid;

use super::catalog::{PARKED, Tables};
use crate::engine::diff::{EnrollmentWrite, OwnerWrite, ProfileWrite, TransactionWrite};
use crate::error::{Error, Result};
use crate::pg::{Group, Owned, Reached, TextColumns};

/// Rows written to one table.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Written {
    /// Rows that existed and differed.
    pub updated: u64,
    /// Rows that were not there.
    pub inserted: u64,
}

/// What was written.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
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

/// Where the counts of the target's statements are in what a group reached.
#[derive(Debug, Default)]
pub struct Positions {
    profiles: Option<usize>,
    new_profiles: Option<usize>,
    transactions: Option<usize>,
    new_transactions: Option<usize>,
    enrollments: Option<usize>,
}

impl Positions {
    /// The report of a group that was sent.
    #[must_use]
    pub fn report(&self, reached: &Reached) -> Report {
        let written = |at: Option<usize>, new: Option<usize>| {
            let counts = at.and_then(|at| reached.get(at));
            let count = |i| counts.and_then(|counts| counts.get(i)).copied().unwrap_or(0);
            let new = new.and_then(|at| reached.get(at)?.first().copied()).unwrap_or(0);
            Written { updated: count(2), inserted: count(3) + new }
        };
        Report {
            profiles: written(self.profiles, self.new_profiles),
            transactions: written(self.transactions, self.new_transactions),
            enrollments: written(self.enrollments, None),
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
        positions.enrollments = Some(group.len());
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
    let (new, others): (Vec<&ProfileWrite>, Vec<&ProfileWrite>) =
        profiles.iter().partition(|profile| fresh.profiles.contains(&profile.id));
    if !new.is_empty() {
        positions.new_profiles = Some(group.len());
        let columns = TextColumns::of(&new, |profile| profile.values.clone());
        group.exactly(
            new.len(),
            "target: inserting profiles",
            &*tables.insert_profiles,
            columns.owned(),
        );
    }
    if !others.is_empty() {
        positions.profiles = Some(group.len());
        let columns = TextColumns::of(&others, |profile| profile.values.clone());
        group.counted("target: writing profiles", &*tables.write_profiles, columns.owned());
    }
}

/// Frees addresses and systemeio_ids that other rows hold: of rows in the same set, which get their own next, an
/// address that is no longer the holder's, and a systemeio_id of any person of ours (SPEC §4.5).
pub(super) fn park_unique_values(group: &mut Group, tables: &Tables, profiles: &[&ProfileWrite]) {
    if profiles.is_empty() {
        return;
    }
    let (table, email_type) = (&tables.names.profiles, &tables.email_type);
    let ids: Vec<Uuid> = profiles.iter().map(|profile| profile.id).collect();
    let emails: Vec<String> = profiles.iter().map(|profile| profile.email.clone()).collect();
    let park = format!(
        "with freed as (update {table} p set email = {PARKED} \
         from unnest($1::uuid[], $2::text[]) as n (id, email) \
         where p.email = n.email::{email_type} and p.id <> n.id and (p.id = any($1) or exists ( \
             select from tributary.person o \
             where o.profile_id = p.id and o.email_key <> n.email)) \
         returning p.id) \
         update tributary.person set profile_digest = null \
         where profile_id in (select id from freed) and not profile_id = any($1)"
    );
    let what = "target: freeing unique values";
    group.any(what, park, vec![Box::new(ids), Box::new(emails)]);
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
           and exists (select from tributary.person o where o.profile_id = p.id) \
         returning p.id) \
         update tributary.person set profile_digest = null \
         where profile_id in (select id from freed) and not profile_id = any($1)"
    );
    group.any(what, park, vec![Box::new(ids), Box::new(systemeio)]);
}

fn add_transactions(
    group: &mut Group,
    tables: &Tables,
    transactions: &[&TransactionWrite],
    fresh: &Fresh,
    positions: &mut Positions,
) -> Result<()> {
    transactions.iter().try_for_each(|transaction| fits(tables, transaction))?;
    let (new, others): (Vec<&TransactionWrite>, Vec<&TransactionWrite>) =
        transactions.iter().partition(|transaction| fresh.transactions.contains(&transaction.id));
    if !new.is_empty() {
        positions.new_transactions = Some(group.len());
        let columns = TextColumns::of(&new, |transaction| transaction.values.clone());
        let sql = &*tables.insert_transactions;
        group.exactly(new.len(), "target: inserting transactions", sql, columns.owned());
    }
    if !others.is_empty() {
        positions.transactions = Some(group.len());
        let columns = TextColumns::of(&others, |transaction| transaction.values.clone());
        let sql = &*tables.write_transactions;
        group.counted("target: writing transactions", sql, columns.owned());
    }
    Ok(())
}

/// Money is never rounded (SPEC §3.8), as a narrower column would do without a word.
pub(super) fn fits(tables: &Tables, transaction: &TransactionWrite) -> Result<()> {
    for (column, digits, scale) in [
        ("amount", transaction.scales.0, tables.amount_scale),
        ("payment_provider_fee", transaction.scales.1, tables.fee_scale),
    ] {
        if scale.is_some_and(|scale| digits > scale) {
            let cause = format!("the column {column} keeps fewer digits after the point");
            return Err(Error::data("target: writing transactions", cause));
        }
    }
    Ok(())
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
        "update {} e set transaction_id = null, updated_at = now(), \
           status = case when e.completion_date is null then 'revoked' else e.status end \
         where e.user_id = any($1) and e.metadata::jsonb ->> 'managed_by' = 'tributary' \
           and (e.transaction_id is not null \
             or (e.completion_date is null and e.status is distinct from 'revoked')) \
           and not exists (select from unnest($2::uuid[], $3::uuid[]) as k (u, c) \
             where k.u = e.user_id and k.c = e.course_id)",
        tables.names.enrollments
    );
    let params: Vec<Owned> = vec![Box::new(profiles), Box::new(users), Box::new(courses)];
    group.any("target: revoking enrollments", sql, params);
}
