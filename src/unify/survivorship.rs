//! Which row gives each value of a profile (SPEC §4.2).
//!
//! A field's candidates come in the order in which they are considered, and the first with a value
//! wins. `unify` takes the winner; `explain` shows the whole list. There is no second way to choose.

use jiff::Timestamp;

use super::duplicates::{contact_row, payment_row};
use super::model::Group;
use super::order::{compare_contacts, compare_earliest, compare_payments, payment_time};
use super::transaction::Booked;
use crate::facts::{Contact, FeedInfo, Payment};

/// The rows of one group in the orders of SPEC §4.2.
#[derive(Debug)]
pub(crate) struct Ranked<'a> {
    /// The most trusted first.
    pub(crate) contacts: Vec<&'a Contact>,
    /// The most trusted first, for names and phones.
    pub(crate) payments: Vec<&'a Payment>,
}

/// What one row could give to one field.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Offer<'a, T> {
    /// The row.
    pub(crate) from: Origin<'a>,
    /// `None` where the row has nothing to give.
    pub(crate) value: Option<T>,
}

/// A source row.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) enum Origin<'a> {
    Contact(&'a Contact),
    Payment(&'a Payment),
}

impl<'a> Origin<'a> {
    /// The feed that it is of.
    pub(crate) fn feed(self) -> &'a FeedInfo {
        match self {
            Self::Contact(contact) => &contact.feed,
            Self::Payment(payment) => &payment.feed,
        }
    }

    /// Its name (SPEC §1).
    pub(crate) fn source_row(self) -> String {
        match self {
            Self::Contact(contact) => contact_row(contact),
            Self::Payment(payment) => payment_row(payment),
        }
    }
}

/// First and last name, at least one of them.
pub(crate) type Name<'a> = (Option<&'a String>, Option<&'a String>);

fn name<'a>(first: &'a Option<String>, last: &'a Option<String>) -> Option<Name<'a>> {
    (first.is_some() || last.is_some()).then_some((first.as_ref(), last.as_ref()))
}

/// The name in a payment's customer_name, if there is one.
pub(crate) fn name_of_payment(payment: &Payment) -> Option<Name<'_>> {
    name(&payment.first_name, &payment.last_name)
}

/// The winning value: that of the first offer that has one.
pub(crate) fn first<'a, T>(mut offers: impl Iterator<Item = Offer<'a, T>>) -> Option<T> {
    offers.find_map(|offer| offer.value)
}

impl<'a> Ranked<'a> {
    /// Sorts, so that the order of the facts in the group never matters.
    pub(crate) fn of(group: &'a Group) -> Self {
        let mut contacts: Vec<&Contact> = group.contacts.iter().collect();
        contacts.sort_by(|a, b| compare_contacts(a, b));
        let mut payments: Vec<&Payment> = group.payments.iter().collect();
        payments.sort_by(|a, b| compare_payments(a, b));
        Self { contacts, payments }
    }

    fn offers<T: 'a>(
        &self,
        of_contact: impl Fn(&'a Contact) -> Option<T>,
        of_payment: impl Fn(&'a Payment) -> Option<T>,
    ) -> impl Iterator<Item = Offer<'a, T>> {
        let contacts = self.contacts.iter().map(move |contact| Offer {
            from: Origin::Contact(contact),
            value: of_contact(contact),
        });
        let payments = self.payments.iter().map(move |payment| Offer {
            from: Origin::Payment(payment),
            value: of_payment(payment),
        });
        contacts.chain(payments)
    }

    /// Both names come from one row.
    pub(crate) fn names(&self) -> impl Iterator<Item = Offer<'a, Name<'a>>> {
        self.offers(|contact| name(&contact.first_name, &contact.last_name), name_of_payment)
    }

    /// E.164.
    pub(crate) fn phones(&self) -> impl Iterator<Item = Offer<'a, &'a String>> {
        self.offers(|contact| contact.phone.as_ref(), |payment| payment.phone.as_ref())
    }

    /// Of the primary feed, before SPEC §4.4 takes one away.
    pub(crate) fn contact_ids(&self) -> impl Iterator<Item = Offer<'a, &'a String>> {
        let contacts = self.contacts.iter().filter(|contact| contact.feed.primary);
        contacts.map(|contact| Offer {
            from: Origin::Contact(contact),
            value: contact.contact_id.as_ref(),
        })
    }

    /// The instants of which created_at is the earliest. With none, those of the syncs.
    pub(crate) fn created(&self) -> Vec<Offer<'a, Timestamp>> {
        let created: Vec<_> = self.offers(|c| c.created_at, |p| p.created_at).collect();
        if created.iter().any(|offer| offer.value.is_some()) {
            return by_time(created, false);
        }
        by_time(self.offers(|c| c.synced_at, |p| p.synced_at).collect(), false)
    }

    /// The instants of which last_active_at is the latest.
    pub(crate) fn active(&self) -> Vec<Offer<'a, Timestamp>> {
        by_time(self.offers(|contact| contact.updated_at, payment_time).collect(), true)
    }
}

/// The best instant first, then rows without one. The sort is stable over a total order, so equal
/// instants keep it.
fn by_time(mut offers: Vec<Offer<'_, Timestamp>>, latest_first: bool) -> Vec<Offer<'_, Timestamp>> {
    offers.sort_by(|a, b| match (a.value, b.value) {
        (Some(a), Some(b)) if latest_first => b.cmp(&a),
        (Some(a), Some(b)) => a.cmp(&b),
        (a, b) => a.is_none().cmp(&b.is_none()),
    });
    offers
}

/// The transaction that dates the cohort: the earliest one that was paid, also if the money went back
/// since. `booked` is in the order of SPEC §5.4.
pub(crate) fn cohort<'a>(booked: &'a [Booked<'a>]) -> Option<&'a Booked<'a>> {
    booked.iter().find(|booked| booked.was_paid())
}

/// The row that says where a person came from: the first contact, else the earliest payment (created as parsed, NULLs
/// last, source row).
pub(crate) fn acquisition<'a>(ranked: &Ranked<'a>) -> Option<Origin<'a>> {
    let contact = ranked.contacts.first().map(|contact| Origin::Contact(contact));
    contact.or_else(|| {
        let payments = ranked.payments.iter().copied();
        payments.min_by(|a, b| compare_earliest(a, b)).map(Origin::Payment)
    })
}
