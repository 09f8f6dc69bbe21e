//! Reads everything about one address in one snapshot, and writes nothing.

use jiff::Timestamp;
use serde::Serialize;
use serde_json::Value;

use std::sync::Arc;

use crate::apply::{LeftOutRow, adopted_transactions, left_out_rows, read_owner};
use crate::config::Config;
use crate::error::Result;
use crate::facts::{EmailKey, Payment, canonical_key};
use crate::pg::Db;
use crate::unify::{self, Context, Explanation, Group, Owner, explain};

/// Most people named for an address that nobody has.
const NEAREST: usize = 3;
/// Most edits between an address and one that may be meant.
const MAX_EDITS: usize = 4;

/// What is known of an address.
#[derive(Debug, Clone, Serialize)]
pub(super) struct Explained {
    /// The matching key of the address (SPEC §3.2).
    pub(super) key: String,
    /// The person after aliases (SPEC §4.1, §7).
    pub(super) person: String,
    /// Other addresses that belong to the person.
    pub(super) aliases: Vec<String>,
    /// Of `tributary.person`; `None`: no profile was made.
    pub(super) state: Option<String>,
    /// The id of the profile.
    pub(super) profile_id: Option<String>,
    /// Values, payments, enrollments.
    #[serde(flatten)]
    pub(super) explanation: Explanation,
    /// Rows with one of the addresses that the configuration leaves out (SPEC §1).
    pub(super) left_out: Vec<LeftOutRow>,
    /// In force.
    pub(super) decisions: Vec<InForce>,
    /// Open.
    pub(super) conflicts: Vec<Open>,
}

/// A decision in force.
#[derive(Debug, Clone, Serialize)]
pub(super) struct InForce {
    pub(super) id: i64,
    pub(super) kind: String,
    pub(super) a: String,
    pub(super) b: String,
    pub(super) automatic: bool,
    pub(super) actor: String,
    pub(super) note: Option<String>,
    pub(super) created_at: Timestamp,
}

/// An open conflict.
#[derive(Debug, Clone, Serialize)]
pub(super) struct Open {
    pub(super) id: i64,
    pub(super) kind: String,
    pub(super) severity: String,
    pub(super) subject: String,
    #[serde(skip)]
    pub(super) evidence: Value,
}

/// The address explained. `None`: nothing is known of it.
pub(super) async fn load(
    config: &Config,
    db: &Arc<Db>,
    key: &EmailKey,
) -> Result<Option<Explained>> {
    db.batch("target: beginning", "begin isolation level repeatable read read only").await?;
    let loaded = within(config, db, key).await;
    db.batch("target: ending", "rollback").await?;
    loaded
}

async fn within(config: &Config, db: &Arc<Db>, key: &EmailKey) -> Result<Option<Explained>> {
    let what = "target: looking up a person";
    let sql = "select root_key from tributary.alias where from_key = $1";
    let rows = db.query(what, sql, &[&key.as_str()]).await?;
    let person: String = rows.first().map_or_else(|| key.to_string(), |row| row.get(0));
    let sql = "select from_key from tributary.alias where root_key = $1 order by from_key";
    let rows = db.query(what, sql, &[&person]).await?;
    let aliases: Vec<String> = rows.iter().map(|row| row.get(0)).collect();
    let sql = "select state, profile_id::text from tributary.person where email_key = $1";
    let rows = db.query(what, sql, &[&person]).await?;
    let recorded = rows.first();

    // The target server's clock decides what has expired.
    let rows = db.query("target: asking for the time", "select now()", &[]).await?;
    let now: Timestamp = rows.first().map_or(Timestamp::UNIX_EPOCH, |row| row.get(0));
    let today = now.to_zoned(config.rules.zone.clone()).date();
    let found = read_owner(db, config, &person, today).await?;
    let mut addresses = aliases.clone();
    addresses.push(person.clone());
    let left_out = left_out_rows(db, config, &addresses, today).await?;
    let is_known = found.is_some() || recorded.is_some() || !left_out.is_empty();
    if !is_known && person == key.as_str() {
        return Ok(None);
    }
    let (group, context) = found.unwrap_or_else(|| {
        let owner = Owner::from_stored(person.clone());
        let group = Group { owner, contacts: Vec::new(), payments: Vec::new() };
        (group, Context { today, contact_id_holders: Default::default() })
    });
    let mut explanation = explain(&group, &context, &config.rules);
    explanation.keep(&adopted_transactions(db, config, &person).await?);
    Ok(Some(Explained {
        key: key.to_string(),
        explanation,
        left_out,
        decisions: decisions(db, &addresses, &group).await?,
        conflicts: conflicts(db, &addresses, &group).await?,
        state: recorded.map(|row| row.get(0)),
        profile_id: recorded.map(|row| row.get(1)),
        person,
        aliases,
    }))
}

async fn decisions(db: &Db, addresses: &[String], group: &Group) -> Result<Vec<InForce>> {
    let rows = group.source_rows();
    let sql = include_str!("../sql/decisions_of_person.sql");
    let rows = db.query("target: reading decisions", sql, &[&addresses, &rows]).await?;
    let in_force = rows.iter().map(|row| InForce {
        id: row.get(0),
        kind: row.get(1),
        a: row.get(2),
        b: row.get(3),
        automatic: row.get(4),
        actor: row.get(5),
        note: row.get(6),
        created_at: row.get(7),
    });
    Ok(in_force.collect())
}

async fn conflicts(db: &Db, addresses: &[String], group: &Group) -> Result<Vec<Open>> {
    let mut scopes = unify::scopes(group);
    scopes.extend(group.source_rows().iter().map(|row| unify::scope_of_rejected(row)));
    scopes.extend(addresses.iter().map(|address| unify::scope_of_link(address)));
    scopes.extend(addresses.iter().map(|address| unify::scope_of_pair(address)));
    let primary = group.contacts.iter().filter(|contact| contact.feed.primary);
    let contact_ids = primary.filter_map(|contact| contact.contact_id.as_deref());
    scopes.extend(contact_ids.map(unify::scope_of_contact_id));
    let external_id = |payment: &Payment| {
        Some(unify::scope_of_external_id(&payment.feed, payment.external_id.as_deref()?))
    };
    scopes.extend(group.payments.iter().filter_map(external_id));
    let sql = include_str!("../sql/conflicts_of_person.sql");
    let rows = db.query("target: reading conflicts", sql, &[&scopes, &addresses]).await?;
    let open = rows.iter().map(|row| Open {
        id: row.get(0),
        kind: row.get(1),
        severity: row.get(2),
        subject: row.get(3),
        evidence: row.get(4),
    });
    Ok(open.collect())
}

/// People whose address is near one that nobody has, the nearest first.
pub(super) async fn nearest(db: &Db, key: &EmailKey) -> Result<Vec<String>> {
    let local = key.as_str().split_once('@').map_or(key.as_str(), |(local, _)| local);
    let sql = include_str!("../sql/nearest_people.sql");
    let params: [crate::pg::Param<'_>; 2] = [&canonical_key(key), &local];
    let rows = db.query("target: looking for people", sql, &params).await?;
    let candidates: Vec<String> = rows.iter().map(|row| row.get(0)).collect();
    Ok(closest(key, candidates))
}

fn closest(key: &EmailKey, candidates: Vec<String>) -> Vec<String> {
    let canonical = canonical_key(key);
    let distance = |other: &String| {
        let same = canonical_key(&EmailKey::trusted(other.clone())) == canonical;
        if same { 0 } else { strsim::osa_distance(key.as_str(), other) }
    };
    let local = |text: &str| text.split('@').next().map(str::to_owned);
    let mut ranked: Vec<(usize, String)> = candidates
        .into_iter()
        .map(|other| (distance(&other), other))
        .filter(|(edits, other)| *edits <= MAX_EDITS || local(other) == local(key.as_str()))
        .collect();
    ranked.sort();
    ranked.into_iter().take(NEAREST).map(|(_, other)| other).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_nearest_addresses_are_named() {
        let check = |key: &str, candidates: &[&str], expected: &[&str]| {
            let candidates = candidates.iter().map(|text| (*text).to_owned()).collect();
            assert_eq!(closest(&EmailKey::trusted(key.into()), candidates), expected, "{key}");
        };
        let people = ["maria@gmail.com", "mario@gmail.com", "zed@example.com", "maria@example.ph"];
        check("mairia@gmail.com", &people, &["maria@gmail.com", "mario@gmail.com"]);
        check("maria@elsewhere.org", &people, &["maria@example.ph", "maria@gmail.com"]);
        check("nobody@example.com", &people, &[]);
    }
}
