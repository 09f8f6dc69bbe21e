//! The owned columns of a profile (SPEC §4.2).

use std::sync::Arc;

use super::model::{Context, Group, Profile};
use super::survivorship::{Ranked, acquisition, cohort, first};
use super::transaction::Booked;
use crate::facts::{Contact, EmailKey, is_same_but_for_case, merged_tags};
use crate::rules::Rules;

/// Whether the profile filter of the configuration lets this person through. A person without a fact
/// has nothing to make a profile of (SPEC §4.5).
pub(crate) fn is_included(group: &Group, rules: &Rules) -> bool {
    let filter = &rules.profiles;
    if group.contacts.is_empty() && group.payments.is_empty() {
        return false;
    }
    filter.tags.is_empty()
        || (filter.or_payment && !group.payments.is_empty())
        || filter.tags.iter().any(|tag| has_tag(group.contacts.iter(), tag))
}

/// Whether one of the contacts has this tag, ignoring case; whole tags only (SPEC §3.6).
pub(crate) fn has_tag<'a>(mut contacts: impl Iterator<Item = &'a Contact>, tag: &str) -> bool {
    contacts.any(|contact| contact.tags.iter().any(|own| is_same_but_for_case(own, tag)))
}

/// The profile of a person. `booked` is all the person's transactions in the order of SPEC §5.4.
pub(crate) fn profile(
    email: &EmailKey,
    ranked: &Ranked<'_>,
    booked: &[Booked<'_>],
    context: &Context,
    rules: &Rules,
) -> Profile {
    let (first_name, last_name) = first(ranked.names()).unwrap_or_default();
    let contact_id = first(ranked.contact_ids());
    let source = acquisition(ranked).map(|row| Arc::clone(&row.feed().provider));
    let source = source.unwrap_or_else(|| "".into());
    let cohort = cohort(booked);
    Profile {
        email: email.clone(),
        first_name: first_name.cloned(),
        last_name: last_name.cloned(),
        phone: first(ranked.phones()).cloned(),
        tags: tags(&ranked.contacts, rules),
        acquisition_source: Arc::clone(&source),
        payment_source: cohort.map(|booked| Arc::clone(&booked.payment.feed.provider)),
        cohort_date: cohort.and_then(|booked| booked.paid_on),
        systemeio_id: contact_id.filter(|id| keeps_contact_id(email, id, context)).cloned(),
        systemeio_tags: ranked.contacts.first().and_then(|contact| contact.tags_text.clone()),
        created_at: first(ranked.created().into_iter()),
        last_active_at: first(ranked.active().into_iter()),
        api_source: source,
    }
}

/// Whether a contact_id stays with this person (SPEC §4.4).
pub(crate) fn keeps_contact_id(email: &EmailKey, contact_id: &str, context: &Context) -> bool {
    context.contact_id_holders.get(contact_id).is_none_or(|holder| holder == email)
}

/// The union of the contacts' tags, as SPEC §3.6 spells and sorts them.
pub(crate) fn tags(contacts: &[&Contact], rules: &Rules) -> Vec<String> {
    let all = contacts.iter().flat_map(|contact| &contact.tags);
    merged_tags(all.cloned(), &rules.known_tags)
}
