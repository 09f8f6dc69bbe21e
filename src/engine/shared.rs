//! Values that rows share, judged from few of them: `contact_id` (SPEC §4.4), `external_id` (SPEC §6).

use std::collections::{BTreeMap, BTreeSet, HashMap};

use super::change::{RowId, StoredRow};
use super::fact::Fact;
use super::feeds::Feeds;
use super::people::is_person;
use super::state::{GROUP_LIMIT, SharedId};
use crate::facts::{FeedInfo, FeedKind};
use crate::unify::{self, Conflict, ExternalIdSide};

/// A row that carries a shared id.
#[derive(Debug, Clone)]
pub struct Sharer {
    /// The row.
    pub id: RowId,
    /// Whose it is.
    pub owner: String,
    /// What a payment is shown as.
    side: Option<Box<ExternalIdSide>>,
    /// What orders or distinguishes it.
    pub member: Vec<u8>,
    /// Whether it is stored with that.
    pub is_marked: bool,
}

impl Sharer {
    /// A row with its fact.
    #[must_use]
    pub fn new(id: RowId, row: &StoredRow, fact: &Fact) -> Self {
        let member = fact.member();
        let is_marked = row.member.as_deref() == Some(member.as_slice());
        Self { id, owner: row.owner.clone(), side: side(fact, &row.owner), member, is_marked }
    }

    /// A row that no other one shares its id with: most of them, so that nothing is found out about it.
    #[must_use]
    pub fn alone(id: RowId, row: &StoredRow) -> Self {
        Self { id, owner: row.owner.clone(), side: None, member: Vec::new(), is_marked: true }
    }
}

/// The rows known of one shared id.
#[derive(Debug, Default)]
pub struct Group {
    /// Rows of this batch.
    pub changed: Vec<Sharer>,
    /// Stored rows that the batch does not change: all, or representatives of many.
    pub others: Vec<Sharer>,
    /// Whether `others` are representatives.
    pub is_large: bool,
}

/// What judging the shared ids of a batch gives.
#[derive(Debug, Default)]
pub struct Judged {
    /// `duplicate_external_id` and `contact_id_collision`.
    pub conflicts: Vec<Conflict>,
    /// The units that were judged.
    pub scopes: BTreeSet<String>,
    /// The person with whom each contact_id stays.
    pub holders: HashMap<SharedId, String>,
    /// Owners whose answer changes with the holder.
    pub owners: BTreeSet<String>,
    /// Rows to be marked as sharing their id.
    pub members: Vec<(RowId, Vec<u8>)>,
}

/// Judges these values.
#[must_use]
pub fn judge(groups: &BTreeMap<SharedId, Group>, feeds: &Feeds) -> Judged {
    let mut judged = Judged::default();
    for (id, group) in groups {
        let all: Vec<&Sharer> = group.changed.iter().chain(&group.others).collect();
        let feed = feeds.info(id.0);
        match feed.kind {
            FeedKind::Contact => judged.contact_id(id, group, &all),
            FeedKind::Payment => judged.external_id(feed, &id.1, group, &all),
        }
        if all.len() > 1 {
            let unmarked = all.iter().filter(|sharer| !sharer.is_marked);
            judged.members.extend(unmarked.map(|s| (s.id.clone(), s.member.clone())));
        }
    }
    judged
}

impl Judged {
    fn contact_id(&mut self, id: &SharedId, group: &Group, all: &[&Sharer]) {
        self.scopes.insert(unify::scope_of_contact_id(&id.1));
        let first = |sharers: &[&Sharer]| {
            let first = sharers.iter().min_by(|a, b| (&a.member, &a.id).cmp(&(&b.member, &b.id)));
            first.map(|sharer| sharer.owner.clone())
        };
        let others: Vec<&Sharer> = group.others.iter().collect();
        // It held the id before, or holds it now.
        self.owners.extend(first(&others));
        let Some(holder) = first(all) else { return };
        let people: BTreeSet<&str> = all.iter().map(|sharer| sharer.owner.as_str()).collect();
        if people.len() > 1 {
            let people: Vec<String> = people.into_iter().map(str::to_owned).collect();
            let more = people.len() > GROUP_LIMIT;
            self.conflicts.push(unify::contact_id_collision(&id.1, &holder, &people, more));
        }
        self.holders.insert(id.clone(), holder);
    }

    fn external_id(&mut self, feed: &FeedInfo, id: &str, group: &Group, all: &[&Sharer]) {
        self.scopes.insert(unify::scope_of_external_id(feed, id));
        if all.len() < 2 {
            return;
        }
        let many = group.is_large || all.len() > GROUP_LIMIT;
        let shown = if many { representatives(all) } else { all.to_vec() };
        let sides: Vec<ExternalIdSide> =
            shown.iter().filter_map(|sharer| sharer.side.as_deref().cloned()).collect();
        self.conflicts.extend(unify::duplicate_external_id(feed, id, &sides, many));
    }
}

/// The rows that stand for many: the first by key of each of the first distinct members and owners, and of the last
/// owner. The same for the same rows, whichever of them were read.
fn representatives<'a>(all: &[&'a Sharer]) -> Vec<&'a Sharer> {
    let mut by_member: BTreeMap<&[u8], &Sharer> = BTreeMap::new();
    let mut by_owner: BTreeMap<&str, &Sharer> = BTreeMap::new();
    for sharer in all {
        let first = by_member.entry(&sharer.member).or_insert(sharer);
        if sharer.id < first.id {
            *first = sharer;
        }
        let first = by_owner.entry(&sharer.owner).or_insert(sharer);
        if sharer.id < first.id {
            *first = sharer;
        }
    }
    let last = by_owner.values().next_back().copied();
    let members = by_member.into_values().take(GROUP_LIMIT);
    let picked = members.chain(by_owner.into_values().take(GROUP_LIMIT)).chain(last);
    let by_id: BTreeMap<&RowId, &Sharer> = picked.map(|sharer| (&sharer.id, sharer)).collect();
    by_id.into_values().collect()
}

fn side(fact: &Fact, owner: &str) -> Option<Box<ExternalIdSide>> {
    let Fact::Payment(payment) = fact else { return None };
    Some(Box::new(ExternalIdSide {
        source_row: payment.feed.source_row(&payment.key),
        person: is_person(owner).then(|| owner.to_owned()),
        amount: payment.amount,
        currency: payment.currency.clone(),
        product: unify::single_product(payment).map(str::to_owned),
        payment_id: payment.payment_id.clone(),
        status: payment.status.as_str().to_owned(),
    }))
}
