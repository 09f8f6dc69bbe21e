//! Facts as rows of `tributary.contact` and `tributary.payment`, both ways.

use std::fmt::Write as _;
use std::sync::LazyLock;

use rayon::prelude::*;
use tokio_postgres::Row;
use uuid::Uuid;

use super::db::Db;
use super::text::{TextColumns, array, instant, text_params};
use crate::error::{Error, Result};
use crate::facts::{Contact, EmailKey, EmailReason, Feed, Payment, SourceKey};
use crate::rules::Status;
use crate::unify::Owner;

/// Columns of `tributary.contact` with their types, in the order of [`contact_columns`].
const CONTACT: [(&str, &str); 19] = [
    ("source_key", "text"),
    ("owner", "text"),
    ("row_email", "text"),
    ("row_email_reason", "text"),
    ("email_key", "text"),
    ("contact_id", "text"),
    ("first_name", "text"),
    ("last_name", "text"),
    ("phone", "text"),
    ("tags", "text[]"),
    ("tags_text", "text"),
    ("created_at", "timestamptz"),
    ("updated_at", "timestamptz"),
    ("synced_at", "timestamptz"),
    ("notes", "jsonb"),
    ("raw", "jsonb"),
    ("digest", "uuid"),
    ("chunk", "bigint"),
    ("generation", "bigint"),
];

/// Columns of `tributary.payment` with their types, in the order of [`payment_columns`].
const PAYMENT: [(&str, &str); 32] = [
    ("source_key", "text"),
    ("owner", "text"),
    ("row_email", "text"),
    ("row_email_reason", "text"),
    ("email_key", "text"),
    ("external_id", "text"),
    ("payment_id", "text"),
    ("amount", "numeric"),
    ("fee", "numeric"),
    ("paid_amount", "numeric"),
    ("currency", "text"),
    ("status", "text"),
    ("row_products", "text[]"),
    ("products", "text[]"),
    ("payment_method", "text"),
    ("description", "text"),
    ("failure_reason", "text"),
    ("first_name", "text"),
    ("last_name", "text"),
    ("phone", "text"),
    ("created_at", "timestamptz"),
    ("updated_at", "timestamptz"),
    ("paid_at", "timestamptz"),
    ("settled_at", "timestamptz"),
    ("synced_at", "timestamptz"),
    ("identity", "uuid"),
    ("metadata", "jsonb"),
    ("notes", "jsonb"),
    ("raw", "jsonb"),
    ("digest", "uuid"),
    ("chunk", "bigint"),
    ("generation", "bigint"),
];

static UPSERT_CONTACTS: LazyLock<String> = LazyLock::new(|| upsert("tributary.contact", &CONTACT));
static UPSERT_PAYMENTS: LazyLock<String> = LazyLock::new(|| upsert("tributary.payment", &PAYMENT));
static LOAD_CONTACTS: LazyLock<String> = LazyLock::new(|| load("tributary.contact", &CONTACT));
static LOAD_PAYMENTS: LazyLock<String> = LazyLock::new(|| load("tributary.payment", &PAYMENT));

fn upsert(table: &str, columns: &[(&str, &str)]) -> String {
    let names: Vec<&str> = columns.iter().map(|(name, _)| *name).collect();
    let list = names.join(", ");
    let casts: Vec<String> =
        columns.iter().map(|(name, kind)| format!("n.{name}::{kind}")).collect();
    let sets: Vec<String> =
        names.iter().skip(1).map(|name| format!("{name} = excluded.{name}")).collect();
    let mut sql = String::new();
    let _ = write!(
        sql,
        "insert into {table} ({list}) select {} from unnest({}) as n({list}) \
         on conflict (source_key) do update set {}",
        casts.join(", "),
        text_params(columns.len()),
        sets.join(", ")
    );
    sql
}

fn load(table: &str, columns: &[(&str, &str)]) -> String {
    let names: Vec<&str> = columns.iter().map(|(name, _)| *name).collect();
    format!("select {} from {table} where owner = any($1)", names.join(", "))
}

/// Where a fact belongs and where it was read, beside the fact itself.
#[derive(Debug, Clone)]
pub(super) struct Placement {
    /// Whose it is.
    pub owner: Owner,
    /// The e-mail key after decisions.
    pub email_key: Option<EmailKey>,
    /// Products after decisions; empty for contacts.
    pub products: Vec<String>,
    /// Digest of everything the fact was made from, to tell an unchanged row.
    pub digest: Uuid,
    /// The backfill chunk that read it; `None`: the stream.
    pub chunk: Option<i64>,
    /// The backfill that last saw it.
    pub generation: i64,
}

/// Writes contacts, replacing those with the same source key.
pub(super) async fn write_contacts(db: &Db, facts: &[(Contact, Placement)]) -> Result<()> {
    if facts.is_empty() {
        return Ok(());
    }
    let columns = TextColumns::of(facts, |(fact, at)| contact_columns(fact, at));
    db.execute("target: writing contacts", &UPSERT_CONTACTS, &columns.params()).await?;
    Ok(())
}

/// Writes payments, replacing those with the same source key.
pub(super) async fn write_payments(db: &Db, facts: &[(Payment, Placement)]) -> Result<()> {
    if facts.is_empty() {
        return Ok(());
    }
    let columns = TextColumns::of(facts, |(fact, at)| payment_columns(fact, at));
    db.execute("target: writing payments", &UPSERT_PAYMENTS, &columns.params()).await?;
    Ok(())
}

fn contact_columns(fact: &Contact, placement: &Placement) -> [Option<String>; 19] {
    let (row_email, reason) = email_columns(&fact.email);
    [
        Some(fact.key.0.clone()),
        Some(placement.owner.as_str().to_owned()),
        row_email,
        reason,
        placement.email_key.as_ref().map(ToString::to_string),
        fact.contact_id.clone(),
        fact.first_name.clone(),
        fact.last_name.clone(),
        fact.phone.clone(),
        Some(array(&fact.tags)),
        fact.tags_text.clone(),
        fact.created_at.map(instant),
        fact.updated_at.map(instant),
        fact.synced_at.map(instant),
        Some(json(&fact.notes)),
        Some(json(&fact.raw)),
        Some(placement.digest.to_string()),
        placement.chunk.map(|chunk| chunk.to_string()),
        Some(placement.generation.to_string()),
    ]
}

fn payment_columns(fact: &Payment, placement: &Placement) -> [Option<String>; 32] {
    let (row_email, reason) = email_columns(&fact.email);
    let mut effective = fact.clone();
    effective.products.clone_from(&placement.products);
    [
        Some(fact.key.0.clone()),
        Some(placement.owner.as_str().to_owned()),
        row_email,
        reason,
        placement.email_key.as_ref().map(ToString::to_string),
        fact.external_id.clone(),
        fact.payment_id.clone(),
        fact.amount.map(|amount| amount.to_string()),
        fact.fee.map(|fee| fee.to_string()),
        fact.paid_amount.map(|amount| amount.to_string()),
        Some(fact.currency.clone()),
        Some(fact.status.as_str().to_owned()),
        Some(array(&fact.products)),
        Some(array(&placement.products)),
        fact.payment_method.clone(),
        fact.description.clone(),
        fact.failure_reason.clone(),
        fact.first_name.clone(),
        fact.last_name.clone(),
        fact.phone.clone(),
        fact.created_at.map(instant),
        fact.updated_at.map(instant),
        fact.paid_at.map(instant),
        fact.settled_at.map(instant),
        fact.synced_at.map(instant),
        Some(identity(&effective).to_string()),
        Some(json(&fact.metadata)),
        Some(json(&fact.notes)),
        Some(json(&fact.raw)),
        Some(placement.digest.to_string()),
        placement.chunk.map(|chunk| chunk.to_string()),
        Some(placement.generation.to_string()),
    ]
}

/// The person is a column of its own, since aliases change it.
fn identity(payment: &Payment) -> Uuid {
    crate::unify::identity(&Owner::Orphans("orphan of nobody".to_owned()), payment)
}

fn email_columns(email: &Result<EmailKey, EmailReason>) -> (Option<String>, Option<String>) {
    match email {
        Ok(key) => (Some(key.to_string()), None),
        Err(reason) => (None, Some(reason.as_str().to_owned())),
    }
}

fn json(value: &impl serde::Serialize) -> String {
    // Maps of strings and plain structs: serialising them cannot fail.
    serde_json::to_string(value).unwrap_or_else(|_| "null".to_owned())
}

/// The contacts of these owners, with the e-mail that holds after decisions.
pub async fn load_contacts(db: &Db, owners: &[String]) -> Result<Vec<(Owner, Contact)>> {
    let rows = db.query("target: loading contacts", &LOAD_CONTACTS, &[&owners]).await?;
    rows.par_iter().map(contact_from).collect()
}

/// The payments of these owners, with the e-mail and products that hold after decisions.
pub async fn load_payments(db: &Db, owners: &[String]) -> Result<Vec<(Owner, Payment)>> {
    let rows = db.query("target: loading payments", &LOAD_PAYMENTS, &[&owners]).await?;
    rows.par_iter().map(payment_from).collect()
}

/// The contacts with these source keys, with the e-mail of the row itself.
pub(super) async fn load_contact_rows(db: &Db, keys: &[String]) -> Result<Vec<Contact>> {
    static SQL: LazyLock<String> =
        LazyLock::new(|| LOAD_CONTACTS.replace("where owner", "where source_key"));
    let rows = db.query("target: loading contacts", &SQL, &[&keys]).await?;
    let of_row = |row: &Row| {
        let (_, mut contact) = contact_from(row)?;
        contact.email = email_from(row, "row_email");
        Ok(contact)
    };
    rows.iter().map(of_row).collect()
}

/// The payments with these source keys, with the e-mail and products of the row itself.
pub(super) async fn load_payment_rows(db: &Db, keys: &[String]) -> Result<Vec<Payment>> {
    static SQL: LazyLock<String> =
        LazyLock::new(|| LOAD_PAYMENTS.replace("where owner", "where source_key"));
    let rows = db.query("target: loading payments", &SQL, &[&keys]).await?;
    let of_row = |row: &Row| {
        let (_, mut payment) = payment_from(row)?;
        payment.email = email_from(row, "row_email");
        payment.products = row.get("row_products");
        Ok(payment)
    };
    rows.iter().map(of_row).collect()
}

fn contact_from(row: &Row) -> Result<(Owner, Contact)> {
    let contact = Contact {
        key: SourceKey(row.get("source_key")),
        email: email_from(row, "email_key"),
        contact_id: row.get("contact_id"),
        first_name: row.get("first_name"),
        last_name: row.get("last_name"),
        phone: row.get("phone"),
        tags: row.get("tags"),
        tags_text: row.get("tags_text"),
        created_at: row.get("created_at"),
        updated_at: row.get("updated_at"),
        synced_at: row.get("synced_at"),
        notes: from_json(row, "notes")?,
        raw: from_json(row, "raw")?,
    };
    Ok((Owner::from_stored(row.get("owner")), contact))
}

fn payment_from(row: &Row) -> Result<(Owner, Payment)> {
    let status: &str = row.get("status");
    let payment = Payment {
        key: SourceKey(row.get("source_key")),
        email: email_from(row, "email_key"),
        external_id: row.get("external_id"),
        payment_id: row.get("payment_id"),
        amount: row.get("amount"),
        fee: row.get("fee"),
        paid_amount: row.get("paid_amount"),
        currency: row.get("currency"),
        status: Status::parse(status).unwrap_or(Status::Unknown),
        products: row.get("products"),
        payment_method: row.get("payment_method"),
        description: row.get("description"),
        failure_reason: row.get("failure_reason"),
        first_name: row.get("first_name"),
        last_name: row.get("last_name"),
        phone: row.get("phone"),
        created_at: row.get("created_at"),
        updated_at: row.get("updated_at"),
        paid_at: row.get("paid_at"),
        settled_at: row.get("settled_at"),
        synced_at: row.get("synced_at"),
        metadata: from_json(row, "metadata")?,
        notes: from_json(row, "notes")?,
        raw: from_json(row, "raw")?,
    };
    Ok((Owner::from_stored(row.get("owner")), payment))
}

fn email_from(row: &Row, column: &str) -> Result<EmailKey, EmailReason> {
    match row.get::<_, Option<String>>(column) {
        Some(key) => Ok(EmailKey::trusted(key)),
        None => Err(match row.get::<_, Option<&str>>("row_email_reason") {
            Some("bidi") => EmailReason::Bidi,
            Some("multiple") => EmailReason::Multiple,
            Some("invalid") => EmailReason::Invalid,
            Some("confusable") => EmailReason::Confusable,
            _ => EmailReason::Missing,
        }),
    }
}

fn from_json<T: serde::de::DeserializeOwned>(row: &Row, column: &str) -> Result<T> {
    let value: serde_json::Value = row.get(column);
    serde_json::from_value(value)
        .map_err(|error| Error::failed(format!("target: reading {column} of a fact"), error))
}

/// What must be known of a stored fact before it is replaced.
#[derive(Debug, Clone)]
pub(super) struct Stored {
    /// Whose it is.
    pub owner: String,
    /// Its e-mail key after decisions.
    pub email_key: Option<EmailKey>,
    /// contact_id of a contact, external_id of a payment.
    pub shared_id: Option<String>,
    /// To tell an unchanged row.
    pub digest: Uuid,
    /// The backfill chunk that read it.
    pub chunk: Option<i64>,
    /// The backfill that last saw it.
    pub generation: i64,
}

/// The stored facts with these keys, without their values.
pub(super) async fn load_stored(
    db: &Db,
    table: Feed,
    keys: &[String],
) -> Result<Vec<(SourceKey, Stored)>> {
    if keys.is_empty() {
        return Ok(Vec::new());
    }
    let sql = match table {
        Feed::Systemeio => include_str!("sql/stored_contacts.sql"),
        Feed::Xendit => include_str!("sql/stored_payments.sql"),
    };
    let rows = db.query("target: looking up stored facts", sql, &[&keys]).await?;
    Ok(rows
        .iter()
        .map(|row| {
            let stored = Stored {
                owner: row.get(1),
                email_key: row.get::<_, Option<String>>(2).map(EmailKey::trusted),
                shared_id: row.get(3),
                digest: row.get(4),
                chunk: row.get(5),
                generation: row.get(6),
            };
            (SourceKey(row.get(0)), stored)
        })
        .collect())
}

/// The raw values of stored facts, for columns that the stream did not send.
pub(super) async fn load_raw(
    db: &Db,
    table: Feed,
    keys: &[String],
) -> Result<Vec<(SourceKey, serde_json::Map<String, serde_json::Value>)>> {
    if keys.is_empty() {
        return Ok(Vec::new());
    }
    let sql =
        format!("select source_key, raw from {} where source_key = any($1)", fact_table(table));
    let rows = db.query("target: loading raw values", &sql, &[&keys]).await?;
    rows.iter().map(|row| Ok((SourceKey(row.get(0)), from_json(row, "raw")?))).collect()
}

/// Removes facts.
pub(super) async fn delete(db: &Db, table: Feed, keys: &[String]) -> Result<()> {
    if keys.is_empty() {
        return Ok(());
    }
    let sql = format!("delete from {} where source_key = any($1)", fact_table(table));
    db.execute("target: deleting facts", &sql, &[&keys]).await?;
    Ok(())
}

/// Marks unchanged facts as seen by this backfill, in this chunk; `None`: in the chunk that they are known
/// from.
pub(super) async fn mark_seen(
    db: &Db,
    table: Feed,
    keys: &[String],
    chunk: Option<i64>,
    generation: i64,
) -> Result<()> {
    if keys.is_empty() {
        return Ok(());
    }
    let sql = format!(
        "update {} set chunk = coalesce($2, chunk), generation = $3 where source_key = any($1)",
        fact_table(table)
    );
    db.execute("target: marking facts as seen", &sql, &[&keys, &chunk, &generation]).await?;
    Ok(())
}

/// The facts of a source table.
pub(super) fn fact_table(table: Feed) -> &'static str {
    match table {
        Feed::Systemeio => "tributary.contact",
        Feed::Xendit => "tributary.payment",
    }
}
