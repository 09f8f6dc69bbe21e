//! Which existing transaction of the application is the one of a payment (SPEC §5.2): one of the payment's provider and
//! provider id, that is no other payment's. It keeps its id and is brought up to date.

use std::collections::{BTreeMap, HashMap, HashSet};

use uuid::Uuid;

use super::change::RowId;
use super::feeds::Feeds;
use super::people::Decided;
use crate::facts::SourceKey;
use crate::unify;

/// Transactions with one provider id from which on it names no payment: nothing is adopted by it. What is read for one
/// payment is bounded by it (P16).
pub const MOST_CANDIDATES: usize = 8;

/// A payment that gives a transaction, whose existing ones are looked for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Wanted {
    /// Whose payment it is.
    pub owner: String,
    /// Its row.
    pub row: RowId,
    /// The id that its row gives.
    pub derived: Uuid,
    /// payment_provider.
    pub provider: String,
    /// payment_provider_id.
    pub provider_id: String,
}

/// A transaction of the target.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Candidate {
    /// Its id.
    pub id: Uuid,
    /// payment_provider, as it is.
    pub provider: Option<String>,
    /// The source row that its metadata name.
    pub source: Option<(String, String)>,
    /// The payment that adopted it, and whether that is stored.
    pub holder: Option<(RowId, bool)>,
    /// Whether a row of the primary payment feed has the id as its key.
    pub is_a_key: bool,
}

/// What was found.
#[derive(Debug, Default, PartialEq, Eq)]
pub struct Adopted {
    /// The transactions that payments take over.
    pub ids: Vec<(RowId, Uuid)>,
    /// Further ones of the same payment, which are left alone: by owner, the payment and how many.
    pub others: BTreeMap<String, Vec<(RowId, usize)>>,
}

/// What is known of the round in which payments look for their transactions.
pub struct Round<'a> {
    /// The candidates of each provider id, in the order of preference.
    pub found: &'a HashMap<String, Vec<Candidate>>,
    /// Ids of payments that the target has.
    pub there: &'a HashSet<Uuid>,
    /// Transactions that payments have adopted before.
    pub adopted: &'a HashMap<RowId, Uuid>,
    /// Ids that are payments' of the round.
    pub taken: HashSet<Uuid>,
    /// Payments of the round that give no transaction, and rows that are gone.
    pub without: HashSet<RowId>,
    /// The feeds.
    pub feeds: &'a Feeds,
}

impl Round<'_> {
    /// Gives each payment the first candidate that is free. One whose own transaction is there adopts nothing.
    #[must_use]
    pub fn adopt(mut self, wanted: &[Wanted]) -> Adopted {
        let mut result = Adopted::default();
        for payment in wanted {
            if self.adopted.contains_key(&payment.row) || self.there.contains(&payment.derived) {
                continue;
            }
            let free = self.free(payment).first().copied();
            if let Some(id) = free {
                self.taken.insert(id);
                result.ids.push((payment.row.clone(), id));
            }
        }
        for payment in wanted {
            let others = self.free(payment);
            if others.is_empty() {
                continue;
            }
            let count = others.len();
            // Of several payments with one provider id, the first has them.
            self.taken.extend(others);
            let of_owner = result.others.entry(payment.owner.clone()).or_default();
            of_owner.push((payment.row.clone(), count));
        }
        result
    }

    fn free(&self, payment: &Wanted) -> Vec<Uuid> {
        let found = self.found.get(&payment.provider_id).map_or(&[][..], Vec::as_slice);
        if found.len() > MOST_CANDIDATES {
            return Vec::new();
        }
        let free = found.iter().filter(|one| is_of(one, &payment.provider) && self.is_free(one));
        free.map(|one| one.id).collect()
    }

    fn is_free(&self, candidate: &Candidate) -> bool {
        if self.taken.contains(&candidate.id) || candidate.is_a_key || self.was_made(candidate) {
            return false;
        }
        let holder = candidate.holder.as_ref();
        holder.is_none_or(|(row, is_stored)| !is_stored || self.without.contains(row))
    }

    /// Whether its id is the one that the source row gives which its metadata name: this program made it.
    fn was_made(&self, candidate: &Candidate) -> bool {
        let of_source = candidate.source.as_ref().and_then(|(feed, key)| {
            let info = &self.feeds.named(feed)?.info;
            Some(unify::transaction_id(info, &SourceKey(key.clone())))
        });
        of_source == Some(candidate.id)
    }
}

/// Whether a transaction is of this provider, in any case, or of one that it does not name.
fn is_of(candidate: &Candidate, provider: &str) -> bool {
    let named = candidate.provider.as_deref().map_or("", str::trim);
    named.is_empty() || named.to_lowercase() == provider.to_lowercase()
}

impl Decided {
    /// The transaction of a payment: the adopted one, else the one that its row gives.
    #[must_use]
    pub fn transaction_id(&self, row: &RowId, feeds: &Feeds) -> Uuid {
        let derived = || unify::transaction_id(feeds.info(row.0), &row.1);
        self.adopted.get(row).copied().unwrap_or_else(derived)
    }

    /// Has its payments keep the transactions that they adopted.
    pub fn keep(&mut self, ids: &HashMap<RowId, Uuid>) {
        if ids.is_empty() {
            return;
        }
        let rows = self.payments.iter().map(|(row, _)| row);
        self.adopted = rows.filter_map(|row| Some((row.clone(), *ids.get(row)?))).collect();
        let mut renamed = HashMap::new();
        for transaction in &mut self.unified.transactions {
            let row = (transaction.feed.feed, transaction.source_key.clone());
            if let Some(id) = self.adopted.get(&row) {
                renamed.insert(transaction.id, *id);
                transaction.id = *id;
            }
        }
        for enrollment in &mut self.unified.enrollments {
            if let Some(id) = renamed.get(&enrollment.transaction_id) {
                enrollment.transaction_id = *id;
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::facts::Feed;

    fn id(number: u128) -> Uuid {
        Uuid::from_u128(number)
    }

    fn row(key: &str) -> RowId {
        (Feed::new(1), SourceKey(key.to_owned()))
    }

    fn wanted(key: &str, derived: u128, provider_id: &str) -> Wanted {
        Wanted {
            owner: format!("{key}@example.com"),
            row: row(key),
            derived: id(derived),
            provider: "xendit".to_owned(),
            provider_id: provider_id.to_owned(),
        }
    }

    fn candidate(number: u128, provider: Option<&str>) -> Candidate {
        Candidate {
            id: id(number),
            provider: provider.map(str::to_owned),
            source: None,
            holder: None,
            is_a_key: false,
        }
    }

    fn check(
        wanted: &[Wanted],
        found: &[Candidate],
        there: &[u128],
        without: &[&str],
        adopted_ids: &[(&str, u128)],
        left: &[(&str, usize)],
    ) {
        let feeds = Feeds::new(Vec::new());
        let round = Round {
            found: &HashMap::from([("pi".to_owned(), found.to_vec())]),
            there: &there.iter().map(|number| id(*number)).collect(),
            adopted: &HashMap::new(),
            taken: wanted.iter().map(|one| one.derived).collect(),
            without: without.iter().map(|key| row(key)).collect(),
            feeds: &feeds,
        };
        let adopted = round.adopt(wanted);
        let ids: Vec<(RowId, Uuid)> =
            adopted_ids.iter().map(|(key, number)| (row(key), id(*number))).collect();
        assert_eq!(adopted.ids, ids, "{wanted:?} {found:?}");
        let others: Vec<(RowId, usize)> =
            left.iter().map(|(key, count)| (row(key), *count)).collect();
        let of_all: Vec<(RowId, usize)> = adopted.others.into_values().flatten().collect();
        assert_eq!(of_all, others, "{wanted:?} {found:?}");
    }

    #[test]
    fn a_payment_takes_the_first_transaction_of_its_provider() {
        let a = [wanted("a", 100, "pi")];
        let ours = candidate(1, Some("xendit"));
        check(&a, &[], &[], &[], &[], &[]);
        check(&a, std::slice::from_ref(&ours), &[], &[], &[("a", 1)], &[]);
        check(&a, &[candidate(1, Some(" Xendit"))], &[], &[], &[("a", 1)], &[]);
        check(&a, &[candidate(1, None)], &[], &[], &[("a", 1)], &[]);
        check(&a, &[candidate(1, Some("stripe"))], &[], &[], &[], &[]);
        check(&a, &[ours.clone(), candidate(2, None)], &[], &[], &[("a", 1)], &[("a", 1)]);
        // Its own is there: nothing is adopted, and the other is not lost.
        check(&a, std::slice::from_ref(&ours), &[100], &[], &[], &[("a", 1)]);
        // Two payments of one provider id, in the order of their rows.
        let two = [wanted("a", 100, "pi"), wanted("b", 101, "pi")];
        check(&two, std::slice::from_ref(&ours), &[], &[], &[("a", 1)], &[]);
        let found = [ours.clone(), candidate(2, Some("xendit")), candidate(3, None)];
        check(&two, &found, &[], &[], &[("a", 1), ("b", 2)], &[("a", 1)]);
    }

    #[test]
    fn what_is_another_payments_is_not_taken() {
        let a = [wanted("a", 100, "pi")];
        let key = Candidate { is_a_key: true, ..candidate(1, None) };
        check(&a, &[key], &[], &[], &[], &[]);
        let held = |is_stored| Candidate {
            holder: Some((row("b"), is_stored)),
            ..candidate(1, Some("xendit"))
        };
        check(&a, &[held(true)], &[], &[], &[], &[]);
        check(&a, &[held(false)], &[], &[], &[("a", 1)], &[]);
        // The payment that had it gives none any more.
        check(&a, &[held(true)], &[], &["b"], &[("a", 1)], &[]);
        // The transaction of a payment of this round.
        check(&a, &[candidate(100, None)], &[], &[], &[], &[]);
        // So many share it that it names none.
        let many: Vec<Candidate> = (1..=9).map(|number| candidate(number, None)).collect();
        check(&a, &many, &[], &[], &[], &[]);
    }
}
