//! The writing statements, in the target tables' own types.
//!
//! Existing tables may have other types than SPEC §2 (an enum status, `varchar` names, `json` metadata), so
//! each value is cast to its column's own type before it is compared and written. Only rows that differ
//! are written (P4), and only owned columns are named (P5). There is no `on conflict`: a table that was
//! there before may lack the unique constraint, and this daemon is the only writer of these columns.

use std::collections::HashMap;

use crate::engine::columns::{ENROLLMENT, PROFILE, TRANSACTION};
use crate::error::{Error, Result};
use crate::pg::text_params;

/// An address of no person, for a profile `p` that waits for its own within one transaction: swapping two
/// unique values takes a third. It passes for an address where the application checks them.
pub const PARKED: &str = "p.id || '@x.invalid'";

/// `select n.a::type as a, … from unnest(…) as n (a, …)`: the new rows in the table's own types.
pub(super) fn new_rows(columns: &[&str], types: &HashMap<String, String>) -> Result<String> {
    let casts = columns
        .iter()
        .map(|column| {
            let kind = types.get(*column).ok_or_else(|| {
                Error::refused(
                    format!("the target has no column {column}"),
                    "run `tributary migrate`: it adds missing columns",
                )
            })?;
            Ok(match kind.as_str() {
                "json" | "jsonb" if *column == "tags" => {
                    format!("to_json(n.tags::text[])::{kind} as tags")
                }
                _ => format!("n.{column}::{kind} as {column}"),
            })
        })
        .collect::<Result<Vec<_>>>()?;
    Ok(format!(
        "select {} from unnest({}) as n ({})",
        casts.join(", "),
        text_params(columns.len()),
        columns.join(", ")
    ))
}

/// `json` has no equality, and that of `citext` overlooks another case.
pub(super) fn comparable(side: &str, column: &str, types: &HashMap<String, String>) -> String {
    let cast = match types.get(column).map_or("", String::as_str) {
        "json" => "::jsonb",
        kind if kind.ends_with("citext") => "::text",
        _ => "",
    };
    format!("{side}.{column}{cast}")
}

fn tuple(side: &str, columns: &[&str], types: &HashMap<String, String>) -> String {
    let list: Vec<String> = columns.iter().map(|c| comparable(side, c, types)).collect();
    format!("({})", list.join(", "))
}

/// The new profiles in the table's own types. Where the facts give no time of creation, it is that of the first write
/// (SPEC §4.2).
fn profiles(types: &HashMap<String, String>) -> Result<String> {
    let created = types.get("created_at").map_or("timestamptz", String::as_str);
    let others: Vec<&str> = PROFILE.iter().copied().filter(|c| *c != "created_at").collect();
    Ok(format!(
        "given as materialized ({new}), \
         n as materialized (select {others}, coalesce(created_at, ( \
             select o.first_seen_at from tributary.person o where o.profile_id = given.id \
           )::{created}, now()::{created}) as created_at from given)",
        new = new_rows(&PROFILE, types)?,
        others = others.join(", "),
    ))
}

pub(super) fn insert_profiles(table: &str, types: &HashMap<String, String>) -> Result<String> {
    Ok(format!(
        "with {profiles} insert into {table} ({columns}, updated_at, last_api_sync_at, api_sync_version) \
         select {inserted}, {now}, now(), 1 from n",
        profiles = profiles(types)?,
        columns = PROFILE.join(", "),
        inserted = PROFILE.map(|c| format!("n.{c}")).join(", "),
        now = now_as("updated_at", types),
    ))
}

/// Whether an enrollment `e` is the daemon's.
pub(super) const MANAGED: &str = "tributary.metadata(e.metadata) ->> 'managed_by' = 'tributary'";

/// Every writing statement returns the rows that it reached, those that it had to reach, and of them the updated and
/// the inserted ones: a policy, rule or trigger that hides or drops rows does not go unnoticed (P20).
const COUNTS: &str = "select (select count(*) from u) + (select count(*) from i), \
    (select count(*) from m) + (select count(*) from f), (select count(*) from u), (select count(*) from i)";

/// As [`COUNTS`], of a statement that only updates.
const COUNTS_OF_UPDATE: &str = "select (select count(*) from u), (select count(*) from n), (select count(*) from u), 0::bigint";

/// Somebody else's profile may have the address: then it is not written, and the digest must not say that it was.
pub(super) fn write_profiles(table: &str, types: &HashMap<String, String>) -> Result<String> {
    let compared = &PROFILE[2..];
    let sets: Vec<String> = compared.iter().map(|c| format!("{c} = m.{c}")).collect();
    Ok(format!(
        "with {profiles}, \
         free as materialized (select n.*, not exists (select from {table} o \
             where o.email = n.email and o.id <> n.id) as email_is_free from n), \
         m as materialized (select n.* from free n join {table} t on t.id = n.id \
           where {old} is distinct from {new} \
             or ({old_email} is distinct from {new_email} and n.email_is_free)), \
         f as materialized (select n.* from n where not exists (select from {table} t where t.id = n.id)), \
         u as (update {table} t set {sets}, \
             email = case when m.email_is_free then m.email else t.email end, \
             updated_at = {now}, last_api_sync_at = now(), \
             api_sync_version = coalesce(t.api_sync_version, 0) + 1 \
           from m where t.id = m.id returning 1), \
         i as (insert into {table} ({columns}, updated_at, last_api_sync_at, api_sync_version) \
           select {inserted}, {now}, now(), 1 from f returning 1), \
         k as (update tributary.person o set profile_digest = null from free \
           where o.profile_id = free.id and not free.email_is_free) \
         {COUNTS}",
        profiles = profiles(types)?,
        sets = sets.join(", "),
        now = now_as("updated_at", types),
        old_email = comparable("t", "email", types),
        new_email = comparable("n", "email", types),
        old = tuple("t", compared, types),
        new = tuple("n", compared, types),
        columns = PROFILE.join(", "),
        inserted = PROFILE.map(|c| format!("f.{c}")).join(", "),
    ))
}

/// Profiles that are there, differ and keep their address: what digests say need not be read again.
pub(super) fn update_profiles(table: &str, types: &HashMap<String, String>) -> Result<String> {
    let sets: Vec<String> = PROFILE[2..].iter().map(|c| format!("{c} = n.{c}")).collect();
    Ok(format!(
        "with {profiles}, \
         u as (update {table} t set {sets}, updated_at = {now}, last_api_sync_at = now(), \
             api_sync_version = coalesce(t.api_sync_version, 0) + 1 \
           from n where t.id = n.id returning 1) \
         {COUNTS_OF_UPDATE}",
        profiles = profiles(types)?,
        sets = sets.join(", "),
        now = now_as("updated_at", types),
    ))
}

/// As [`update_profiles`].
pub(super) fn update_transactions(table: &str, types: &HashMap<String, String>) -> Result<String> {
    let sets: Vec<String> = TRANSACTION[1..].iter().map(|c| format!("{c} = n.{c}")).collect();
    Ok(format!(
        "with n as materialized ({new}), \
         u as (update {table} t set {sets}, last_api_sync_at = now(), processed_at = now(), \
             api_sync_version = coalesce(t.api_sync_version, 0) + 1 \
           from n where t.id = n.id returning 1) \
         {COUNTS_OF_UPDATE}",
        new = new_rows(&TRANSACTION, types)?,
        sets = sets.join(", "),
    ))
}

pub(super) fn insert_transactions(table: &str, types: &HashMap<String, String>) -> Result<String> {
    Ok(format!(
        "insert into {table} ({columns}, last_api_sync_at, processed_at, api_sync_version) \
         select n.*, now(), now(), 1 from ({new}) n",
        new = new_rows(&TRANSACTION, types)?,
        columns = TRANSACTION.join(", "),
    ))
}

pub(super) fn write_transactions(table: &str, types: &HashMap<String, String>) -> Result<String> {
    let owned = &TRANSACTION[1..];
    let sets: Vec<String> = owned.iter().map(|c| format!("{c} = m.{c}")).collect();
    Ok(format!(
        "with n as materialized ({new}), \
         m as materialized (select n.* from n join {table} t on t.id = n.id where {old} is distinct from {newt}), \
         f as materialized (select n.* from n where not exists (select from {table} t where t.id = n.id)), \
         u as (update {table} t set {sets}, last_api_sync_at = now(), processed_at = now(), \
             api_sync_version = coalesce(t.api_sync_version, 0) + 1 \
           from m where t.id = m.id returning 1), \
         i as (insert into {table} ({columns}, last_api_sync_at, processed_at, api_sync_version) \
           select f.*, now(), now(), 1 from f returning 1) \
         {COUNTS}",
        new = new_rows(&TRANSACTION, types)?,
        sets = sets.join(", "),
        old = tuple("t", owned, types),
        newt = tuple("n", owned, types),
        columns = TRANSACTION.join(", "),
    ))
}

/// An enrollment is found by person and course. One that is completed keeps its status.
pub(super) fn write_enrollments(table: &str, types: &HashMap<String, String>) -> Result<String> {
    let owned = ["transaction_id", "start_date", "expiry_date", "cohort_month", "cohort_quarter"];
    let sets: Vec<String> = owned.iter().map(|c| format!("{c} = m.{c}")).collect();
    let metadata = types.get("metadata").map_or("jsonb", String::as_str);
    Ok(format!(
        "with n as materialized ({new}), \
         m as materialized (select n.*, t.id as old_id from n join {table} t on t.user_id = n.user_id and t.course_id = n.course_id \
           where {old} is distinct from {newt} \
             or (t.completion_date is null and t.status is distinct from n.status) \
             or tributary.metadata(t.metadata) ->> 'managed_by' is distinct from 'tributary'), \
         f as materialized (select n.* from n where not exists (select from {table} t \
               where t.user_id = n.user_id and t.course_id = n.course_id)), \
         u as (update {table} t set {sets}, \
             status = case when t.completion_date is null then m.status else t.status end, \
             metadata = (coalesce(tributary.metadata(t.metadata), '{{}}') || '{{\"managed_by\": \"tributary\"}}')::{metadata}, \
             updated_at = {now} \
           from m where t.id = m.old_id returning 1), \
         i as (insert into {table} ({columns}, metadata, created_at, updated_at) \
           select case when (select true from {table} o where o.id = f.id limit 1) \
                  then gen_random_uuid() else f.id end, {inserted}, \
                  '{{\"managed_by\": \"tributary\"}}'::{metadata}, {created}, {now} from f returning 1) \
         {COUNTS}",
        new = new_rows(&ENROLLMENT, types)?,
        sets = sets.join(", "),
        now = now_as("updated_at", types),
        created = now_as("created_at", types),
        old = tuple("t", &owned, types),
        newt = tuple("n", &owned, types),
        columns = ENROLLMENT.join(", "),
        inserted = ENROLLMENT[1..].iter().map(|c| format!("f.{c}")).collect::<Vec<_>>().join(", "),
    ))
}

/// Finds transactions by their provider id.
pub(super) fn transactions_by_provider(
    table: &str,
    types: &HashMap<String, String>,
) -> Option<String> {
    let kind = types.get("payment_provider_id")?;
    let is_text = ["text", "character", "bpchar"].iter().any(|text| kind.starts_with(text));
    if !is_text && !kind.ends_with("citext") || kind.ends_with("[]") {
        return None;
    }
    let sql = include_str!("sql/transactions_by_provider.sql");
    Some(sql.replace("{transactions}", table).replace("{kind}", kind))
}

fn now_as(column: &str, types: &HashMap<String, String>) -> String {
    match types.get(column) {
        Some(kind) => format!("now()::{kind}"),
        None => "now()".to_owned(),
    }
}
