//! `tributary.person_search`: what the operators' page looks persons up by, and what they paid.

use std::collections::{BTreeSet, HashSet};

use rust_decimal::Decimal;

use crate::engine::diff::OwnerWrite;
use crate::engine::people::Decided;
use crate::pg::{Group, TextColumns};

/// Adds to a group what persons are looked up by: of those in `persons`, whose own row is written, and of those whose
/// transactions are. Only what differs is written. `has_partners`: whether any e-mail change is in the review queue.
pub fn write(
    group: &mut Group,
    decided: &[Decided],
    writes: &[OwnerWrite],
    persons: &BTreeSet<String>,
    has_partners: bool,
) {
    let with_payments: HashSet<&str> = writes
        .iter()
        .filter(|write| !write.transactions.is_empty() || !write.without.is_empty())
        .map(|write| write.owner.as_str())
        .collect();
    let differs = |decided: &&Decided| {
        let owner = decided.owner.as_str();
        decided.is_person() && (persons.contains(owner) || with_payments.contains(owner))
    };
    let persons: Vec<&Decided> = decided.iter().filter(differs).collect();
    if persons.is_empty() {
        return;
    }
    let columns = TextColumns::of(&persons, |decided| row(decided));
    let mut params = columns.owned();
    let (scopes, also): (Vec<&str>, Vec<&str>) = if has_partners {
        (vec!["pair:", "collision:"], vec!["with:", "collision:"])
    } else {
        (vec!["pair:"], vec!["with:"])
    };
    params.push(Box::new(scopes));
    params.push(Box::new(also));
    let sql = include_str!("sql/write_person_search.sql");
    group.any("target: writing what persons are looked up by", sql, params);
}

/// Characters of a name that persons are looked up by: an index holds no value of more than 2,704 bytes.
const NAME_LENGTH: usize = 400;

/// A name, or its beginning, as persons are looked up by it.
#[must_use]
pub fn name(text: &str) -> String {
    text.to_lowercase().chars().take(NAME_LENGTH).collect()
}

/// The columns of the statement. A person without facts is found by what it was called.
fn row(decided: &Decided) -> [Option<String>; 6] {
    let unified = &decided.unified;
    let profile = unified.profile.as_ref();
    let last_name = profile.and_then(|profile| profile.last_name.as_deref());
    let first_name = profile.and_then(|profile| profile.first_name.as_deref());
    let names: Vec<&str> = first_name.into_iter().chain(last_name).collect();
    let paid = unified.transactions.iter().filter(|t| t.status.is_successful());
    let paid = paid.fold(Decimal::ZERO, |sum, t| sum.saturating_add(t.amount));
    [
        Some(decided.owner.clone()),
        (!names.is_empty()).then(|| name(&names.join(" "))),
        last_name.map(name),
        profile.and_then(|profile| profile.phone.clone()),
        Some(paid.normalize().to_string()),
        profile.is_some().then(String::new),
    ]
}
