//! The facts of owners, with what [`unify`](crate::unify::unify) must know besides. Read-only.

use std::collections::BTreeMap;

use jiff::civil;

use super::{Db, Param, store};
use crate::error::Result;
use crate::facts::{Contact, EmailKey, Payment};
use crate::unify::{Context, Group, Owner};

/// Loads these owners, in byte order; one without facts is left out. `today` is local, for expiries.
///
/// # Errors
/// Those of the target.
pub async fn load_groups(
    db: &Db,
    owners: &[String],
    today: civil::Date,
) -> Result<BTreeMap<String, (Group, Context)>> {
    let sql = include_str!("sql/holders_of_owners.sql");
    let params: [Param<'_>; 1] = [&owners];
    let (contacts, payments, holders) = tokio::try_join!(
        store::load_contacts(db, owners),
        store::load_payments(db, owners),
        db.query("target: looking up contact ids", sql, &params),
    )?;
    let holders: BTreeMap<String, EmailKey> = holders
        .iter()
        .map(|row| (row.get(0), EmailKey::trusted(row.get::<_, String>(1))))
        .collect();
    let groups = groups_of(contacts, payments).into_iter().map(|(owner, group)| {
        let context = context(&group, &holders, today);
        (owner, (group, context))
    });
    Ok(groups.collect())
}

fn context(group: &Group, holders: &BTreeMap<String, EmailKey>, today: civil::Date) -> Context {
    let contact_id_holders = group
        .contacts
        .iter()
        .filter_map(|contact| contact.contact_id.as_ref())
        .filter_map(|id| Some((id.clone(), holders.get(id)?.clone())))
        .filter(|(_, holder)| group.owner.person() != Some(holder))
        .collect();
    Context { today, contact_id_holders }
}

/// Groups facts by owner, owners in byte order.
fn groups_of(
    contacts: Vec<(Owner, Contact)>,
    payments: Vec<(Owner, Payment)>,
) -> BTreeMap<String, Group> {
    let mut groups: BTreeMap<String, Group> = BTreeMap::new();
    let empty =
        |owner: &Owner| Group { owner: owner.clone(), contacts: Vec::new(), payments: Vec::new() };
    for (owner, contact) in contacts {
        let group = groups.entry(owner.as_str().to_owned()).or_insert_with(|| empty(&owner));
        group.contacts.push(contact);
    }
    for (owner, payment) in payments {
        let group = groups.entry(owner.as_str().to_owned()).or_insert_with(|| empty(&owner));
        group.payments.push(payment);
    }
    groups
}
