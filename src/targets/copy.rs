//! Rows of the target tables that are known to be new, by COPY where there are many.

use super::catalog::Tables;
use super::write::{Fresh, Report, park_unique_values};
use crate::engine::columns::{PROFILE, TRANSACTION};
use crate::engine::diff::{OwnerWrite, ProfileWrite, TransactionWrite};
use crate::error::Result;
use crate::pg::{COPY_FROM, Group, Tx, copy_text};

/// Takes new profiles and transactions out of the owners and copies them, after `group` with what they rest on.
///
/// # Errors
/// Those of the target; [`crate::error::Error::Data`] where a value does not fit its column.
pub async fn new_rows(
    tx: &Tx,
    tables: &Tables,
    owners: &mut [OwnerWrite],
    fresh: &Fresh,
    group: &mut Group,
) -> Result<Report> {
    let mut report = Report::default();
    let copies_profiles = tables.profiles_by_copy && fresh.profiles.len() >= COPY_FROM;
    let copies_transactions = tables.transactions_by_copy && fresh.transactions.len() >= COPY_FROM;
    if !copies_profiles && !copies_transactions {
        return Ok(report);
    }
    let mut profiles: Vec<ProfileWrite> = Vec::new();
    let mut transactions: Vec<TransactionWrite> = Vec::new();
    for owner in owners.iter_mut() {
        if copies_profiles {
            profiles.extend(owner.profile.take_if(|profile| fresh.profiles.contains(&profile.id)));
        }
        // A transaction of a person whose profile is only inserted later would reference nothing.
        let has_profile =
            owner.profile.as_ref().is_none_or(|profile| !fresh.profiles.contains(&profile.id));
        if copies_transactions && has_profile {
            let is_new = |t: &mut TransactionWrite| fresh.transactions.contains(&t.id);
            transactions.extend(owner.transactions.extract_if(.., is_new));
        }
    }
    park_unique_values(group, tables, &profiles.iter().collect::<Vec<_>>());
    std::mem::take(group).send(tx).await?;
    if !profiles.is_empty() {
        report.profiles.inserted = copy_profiles(tx, tables, &mut profiles).await?;
    }
    if !transactions.is_empty() {
        transactions.iter().try_for_each(|t| super::write::fits(tables, t))?;
        report.transactions.inserted = copy_transactions(tx, tables, &transactions).await?;
    }
    Ok(report)
}

async fn copy_profiles(tx: &Tx, tables: &Tables, profiles: &mut [ProfileWrite]) -> Result<u64> {
    let columns = format!("{}, updated_at, last_api_sync_at, api_sync_version", PROFILE.join(", "));
    if let Some(at) = PROFILE.iter().position(|column| *column == "created_at") {
        for created_at in profiles.iter_mut().filter_map(|profile| profile.values.get_mut(at)) {
            // Where the rows give no time of creation, it is that of the first write (SPEC §4.2).
            created_at.get_or_insert_with(|| NOW.to_owned());
        }
    }
    let (what, table) = ("target: copying profiles", &tables.names.profiles);
    let rows = profiles.iter().map(|profile| profile.values.as_slice());
    copy_text(tx, what, table, &columns, rows, &[NOW, NOW, "1"]).await
}

async fn copy_transactions(
    tx: &Tx,
    tables: &Tables,
    transactions: &[TransactionWrite],
) -> Result<u64> {
    let columns =
        format!("{}, last_api_sync_at, processed_at, api_sync_version", TRANSACTION.join(", "));
    let (what, table) = ("target: copying transactions", &tables.names.transactions);
    let rows = transactions.iter().map(|transaction| transaction.values.as_slice());
    copy_text(tx, what, table, &columns, rows, &[NOW, NOW, "1"]).await
}

/// The start of the transaction, as the input functions of times read it.
const NOW: &str = "now";
