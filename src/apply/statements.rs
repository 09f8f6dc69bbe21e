//! Statements for the configured target tables: profiles, transactions, enrollments.
//!
//! Existing tables may have other types than SPEC §2 (an enum status, `varchar` names, `json` metadata), so
//! each value is cast to its column's own type before it is compared and written. Only rows that differ
//! are written (P4), and only owned columns are named (P5). There is no `on conflict`: a table that was
//! there before may lack the unique constraint, and this daemon is the only writer of these columns.

use std::collections::HashMap;

use tokio_postgres::Client;

use super::text::text_params;
use crate::config::{TableName, Target};
use crate::error::{Context, Error, Result};

pub(super) const PROFILE: [&str; 14] = [
    "id",
    "email",
    "first_name",
    "last_name",
    "phone",
    "tags",
    "acquisition_source",
    "payment_source",
    "cohort_date",
    "systemeio_id",
    "systemeio_tags",
    "created_at",
    "last_active_at",
    "api_source",
];

pub(super) const TRANSACTION: [&str; 25] = [
    "id",
    "user_id",
    "amount",
    "currency",
    "status",
    "payment_method",
    "payment_provider",
    "payment_provider_id",
    "payment_provider_fee",
    "description",
    "product_name",
    "product_type",
    "product_id",
    "created_at",
    "updated_at",
    "paid_at",
    "settled_at",
    "cancelled_at",
    "refunded_at",
    "failed_at",
    "failure_reason",
    "metadata",
    "api_source",
    "fiscal_year",
    "fiscal_quarter",
];

pub(super) const ENROLLMENT: [&str; 9] = [
    "id",
    "user_id",
    "course_id",
    "transaction_id",
    "status",
    "start_date",
    "expiry_date",
    "cohort_month",
    "cohort_quarter",
];

/// An address of no person, for a profile `p` that waits for its own within one transaction: swapping two
/// unique values takes a third. It passes for an address where the application checks them.
pub(super) const PARKED: &str = "p.id || '@x.invalid'";

/// Quoted names of the target tables.
#[derive(Debug, Clone)]
pub(super) struct Names {
    pub(super) profiles: String,
    pub(super) transactions: String,
    pub(super) enrollments: String,
    pub(super) courses: String,
}

/// Statements and facts about the target tables, read from the catalog at start.
#[derive(Debug, Clone)]
pub(super) struct Tables {
    pub(super) names: Names,
    pub(super) write_profiles: String,
    pub(super) write_transactions: String,
    pub(super) write_enrollments: String,
    /// Digits after the point that the amounts of transactions keep; `None`: all of them.
    pub(super) amount_scale: Option<u32>,
    /// The same of their fees.
    pub(super) fee_scale: Option<u32>,
    /// Opens a transaction in which the application's deferred constraints are checked by each statement,
    /// so that a row they refuse can be isolated: at the commit it would be too late.
    pub(super) begin: String,
    /// Whether `auth.users` exists and people take ids from it.
    pub(super) link_auth_users: bool,
    /// Whether the profile id must be an `auth.users` id.
    pub(super) needs_auth_user: bool,
}

impl Tables {
    /// Reads the catalog of the target.
    pub(super) async fn read(client: &Client, target: &Target) -> Result<Self> {
        let names = Names {
            profiles: target.profiles.quoted(),
            transactions: target.transactions.quoted(),
            enrollments: target.enrollments.quoted(),
            courses: target.courses.quoted(),
        };
        let profile = column_types(client, &target.profiles).await?;
        let transaction = column_types(client, &target.transactions).await?;
        let enrollment = column_types(client, &target.enrollments).await?;
        let auth = client
            .query_one(include_str!("sql/auth_users.sql"), &[&names.profiles])
            .await
            .context("target: looking for auth.users")?;
        let tables = [&names.profiles, &names.transactions, &names.enrollments];
        let deferrable: Option<String> = client
            .query_one(include_str!("sql/deferrable_constraints.sql"), &[&tables.as_slice()])
            .await
            .context("target: reading deferrable constraints")?
            .get(0);
        let begin = match deferrable {
            Some(names) => format!("begin; set constraints {names} immediate"),
            None => "begin".to_owned(),
        };
        Ok(Self {
            begin,
            write_profiles: write_profiles(&names.profiles, &profile)?,
            write_transactions: write_transactions(&names.transactions, &transaction)?,
            write_enrollments: write_enrollments(&names.enrollments, &enrollment)?,
            amount_scale: scale(&transaction, "amount"),
            fee_scale: scale(&transaction, "payment_provider_fee"),
            link_auth_users: target.link_auth_users && auth.get(0),
            needs_auth_user: auth.get(1),
            names,
        })
    }
}

async fn column_types(client: &Client, table: &TableName) -> Result<HashMap<String, String>> {
    let rows = client
        .query(include_str!("sql/column_types.sql"), &[&table.quoted()])
        .await
        .context("target: reading column types")?;
    if rows.is_empty() {
        return Err(Error::refused(
            format!("the target table {table} does not exist"),
            "run `tributary migrate`, or correct its name in the [target] section",
        ));
    }
    Ok(rows.iter().map(|row| (row.get(0), row.get(1))).collect())
}

/// `select n.a::type as a, … from unnest(…) as n (a, …)`: the new rows in the table's own types.
fn new_rows(columns: &[&str], types: &HashMap<String, String>) -> Result<String> {
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

/// How many digits after the point a column keeps: 2 of `numeric(10,2)`, 0 of `numeric(10)`.
fn scale(types: &HashMap<String, String>, column: &str) -> Option<u32> {
    let precision = types.get(column)?.strip_prefix("numeric(")?.strip_suffix(')')?;
    precision.split_once(',').map_or(Some(0), |(_, scale)| scale.parse().ok())
}

/// `json` has no equality.
fn comparable(side: &str, column: &str, types: &HashMap<String, String>) -> String {
    match types.get(column).map(String::as_str) {
        Some("json") => format!("{side}.{column}::jsonb"),
        _ => format!("{side}.{column}"),
    }
}

fn tuple(side: &str, columns: &[&str], types: &HashMap<String, String>) -> String {
    let list: Vec<String> = columns.iter().map(|c| comparable(side, c, types)).collect();
    format!("({})", list.join(", "))
}

/// Where the facts tell no time of creation, it is that of the first write (SPEC §4.2).
fn write_profiles(table: &str, types: &HashMap<String, String>) -> Result<String> {
    let compared = &PROFILE[2..];
    let created = types.get("created_at").map_or("timestamptz", String::as_str);
    let others: Vec<&str> = PROFILE.iter().copied().filter(|c| *c != "created_at").collect();
    let sets: Vec<String> = compared.iter().map(|c| format!("{c} = n.{c}")).collect();
    let now = now_as("updated_at", types);
    Ok(format!(
        "with given as materialized ({new}), \
         n as materialized (select {others}, coalesce(created_at, ( \
             select o.first_seen_at from tributary.person o where o.profile_id = given.id \
           )::{created}) as created_at from given), \
         u as (update {table} t set {sets}, \
             email = case when n.email_is_free then n.email else t.email end, \
             updated_at = {now}, last_api_sync_at = now(), \
             api_sync_version = coalesce(t.api_sync_version, 0) + 1 \
           from (select n.*, not exists (select from {table} o \
                     where o.email = n.email and o.id <> n.id) as email_is_free from n) n \
           where t.id = n.id and ({old} is distinct from {newt} \
               or (t.email is distinct from n.email and n.email_is_free)) \
           returning 1), \
         i as (insert into {table} ({columns}, updated_at, last_api_sync_at, api_sync_version) \
           select {inserted}, {now}, now(), 1 from n \
           where not exists (select from {table} t where t.id = n.id) returning 1) \
         select (select count(*) from u), (select count(*) from i)",
        new = new_rows(&PROFILE, types)?,
        sets = sets.join(", "),
        others = others.join(", "),
        old = tuple("t", compared, types),
        newt = tuple("n", compared, types),
        columns = PROFILE.join(", "),
        inserted = PROFILE.map(|c| format!("n.{c}")).join(", "),
    ))
}

fn write_transactions(table: &str, types: &HashMap<String, String>) -> Result<String> {
    let owned = &TRANSACTION[1..];
    let sets: Vec<String> = owned.iter().map(|c| format!("{c} = n.{c}")).collect();
    Ok(format!(
        "with n as materialized ({new}), \
         u as (update {table} t set {sets}, last_api_sync_at = now(), processed_at = now(), \
             api_sync_version = coalesce(t.api_sync_version, 0) + 1 \
           from n where t.id = n.id and {old} is distinct from {newt} returning 1), \
         i as (insert into {table} ({columns}, last_api_sync_at, processed_at, api_sync_version) \
           select {inserted}, now(), now(), 1 from n \
           where not exists (select from {table} t where t.id = n.id) returning 1) \
         select (select count(*) from u), (select count(*) from i)",
        new = new_rows(&TRANSACTION, types)?,
        sets = sets.join(", "),
        old = tuple("t", owned, types),
        newt = tuple("n", owned, types),
        columns = TRANSACTION.join(", "),
        inserted = TRANSACTION.map(|c| format!("n.{c}")).join(", "),
    ))
}

/// An enrollment is found by person and course. One that is completed keeps its status.
fn write_enrollments(table: &str, types: &HashMap<String, String>) -> Result<String> {
    let owned = ["transaction_id", "start_date", "expiry_date", "cohort_month", "cohort_quarter"];
    let sets: Vec<String> = owned.iter().map(|c| format!("{c} = n.{c}")).collect();
    let metadata = types.get("metadata").map_or("jsonb", String::as_str);
    Ok(format!(
        "with n as materialized ({new}), \
         u as (update {table} t set {sets}, \
             status = case when t.completion_date is null then n.status else t.status end, \
             metadata = (coalesce(t.metadata::jsonb, '{{}}') || '{{\"managed_by\": \"tributary\"}}')::{metadata}, \
             updated_at = {now} \
           from n where t.user_id = n.user_id and t.course_id = n.course_id \
             and ({old} is distinct from {newt} \
               or (t.completion_date is null and t.status is distinct from n.status) \
               or t.metadata::jsonb ->> 'managed_by' is distinct from 'tributary') returning 1), \
         i as (insert into {table} ({columns}, metadata, created_at, updated_at) \
           select case when exists (select from {table} o where o.id = n.id) \
                  then gen_random_uuid() else n.id end, {inserted}, \
                  '{{\"managed_by\": \"tributary\"}}'::{metadata}, {created}, {now} from n \
           where not exists (select from {table} t \
               where t.user_id = n.user_id and t.course_id = n.course_id) returning 1) \
         select (select count(*) from u), (select count(*) from i)",
        new = new_rows(&ENROLLMENT, types)?,
        sets = sets.join(", "),
        now = now_as("updated_at", types),
        created = now_as("created_at", types),
        old = tuple("t", &owned, types),
        newt = tuple("n", &owned, types),
        columns = ENROLLMENT.join(", "),
        inserted = ENROLLMENT[1..].iter().map(|c| format!("n.{c}")).collect::<Vec<_>>().join(", "),
    ))
}

fn now_as(column: &str, types: &HashMap<String, String>) -> String {
    match types.get(column) {
        Some(kind) => format!("now()::{kind}"),
        None => "now()".to_owned(),
    }
}
