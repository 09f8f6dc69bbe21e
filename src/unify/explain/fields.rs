//! The columns of a profile, each with its winner and the rows that lost.

use crate::facts::{Contact, Payment};
use crate::unify::duplicates::{contact_row, payment_row};
use crate::unify::model::{Context, Profile};
use crate::unify::order::payment_time;
use crate::unify::survivorship::{Offer, Origin, Ranked, acquisition, cohort};
use crate::unify::transaction::Booked;

use super::{Candidate, FieldExplanation, MAX_CANDIDATES};

/// Every column, in the order of the table. The values are the profile's own.
pub(super) fn fields(
    profile: &Profile,
    ranked: &Ranked<'_>,
    booked: &[Booked<'_>],
    context: &Context,
) -> Vec<FieldExplanation> {
    let names = "both names from the first contact that has either, else the newest payment's \
                 customer_name, successful ones first";
    let phones = "the first contact that has one, else the newest payment's, successful ones first";
    let text = |value: &Option<String>| value.clone();
    let mut fields = vec![alone("email", Some(profile.email.to_string()), "the matching key")];
    fields.push(
        Column { field: "first_name", value: text(&profile.first_name), rule: names }
            .ranked(ranked.names(), |(first, _)| first.cloned()),
    );
    fields.push(
        Column { field: "last_name", value: text(&profile.last_name), rule: names }
            .ranked(ranked.names(), |(_, last)| last.cloned()),
    );
    fields.push(
        Column { field: "phone", value: text(&profile.phone), rule: phones }
            .ranked(ranked.phones(), |phone| Some((*phone).clone())),
    );
    fields.push(tags(profile, ranked));
    fields.push(source("acquisition_source", &profile.acquisition_source, ranked));
    fields.extend(cohorts(profile, booked));
    fields.push(systemeio_id(profile, ranked, context));
    fields.push(systemeio_tags(profile, ranked));
    fields.extend(times(profile, ranked));
    fields.push(source("api_source", &profile.api_source, ranked));
    fields
}

fn alone(field: &'static str, value: Option<String>, rule: &str) -> FieldExplanation {
    let (candidates, candidates_left_out) = (Vec::new(), 0);
    let rule = rule.to_owned();
    FieldExplanation { field, value, source_row: None, rule, candidates, candidates_left_out }
}

/// A column whose candidates stand in an order.
struct Column<'r> {
    field: &'static str,
    value: Option<String>,
    rule: &'r str,
}

impl Column<'_> {
    /// The first offer with a value has won; a later one lost by the order of SPEC §4.2.
    fn ranked<'a, T>(
        self,
        offers: impl Iterator<Item = Offer<'a, T>>,
        show: impl Fn(&T) -> Option<String>,
    ) -> FieldExplanation {
        self.explained(offers, show, why_later)
    }

    fn explained<'a, T>(
        self,
        offers: impl Iterator<Item = Offer<'a, T>>,
        show: impl Fn(&T) -> Option<String>,
        why: impl Fn(Origin<'a>, Origin<'a>) -> String,
    ) -> FieldExplanation {
        let mut winner: Option<Origin<'a>> = None;
        let mut explained = alone(self.field, self.value, self.rule);
        for offer in offers {
            let why_lost = match (&offer.value, winner) {
                (Some(_), None) => {
                    winner = Some(offer.from);
                    explained.source_row = Some(offer.from.source_row());
                    continue;
                }
                (Some(_), Some(winner)) => why(winner, offer.from),
                (None, _) => "has no value".to_owned(),
            };
            if explained.candidates.len() == MAX_CANDIDATES {
                explained.candidates_left_out += 1;
                continue;
            }
            explained.candidates.push(Candidate {
                source_row: offer.from.source_row(),
                value: offer.value.as_ref().and_then(&show),
                why_lost: Some(why_lost),
            });
        }
        explained
    }
}

/// The first criterion of the order of SPEC §4.2 in which the two rows differ.
fn why_later(winner: Origin<'_>, loser: Origin<'_>) -> String {
    match (winner, loser) {
        (Origin::Contact(winner), Origin::Contact(loser)) => why_contact(winner, loser),
        (Origin::Payment(winner), Origin::Payment(loser)) => why_payment(winner, loser).to_owned(),
        _ => "contacts come before payments".to_owned(),
    }
}

fn why_contact(winner: &Contact, loser: &Contact) -> String {
    let (first, later) = (&winner.feed, &loser.feed);
    if first.rank != later.rank {
        format!(
            "the feed {} has rank {}, after {} with {}",
            later.name, later.rank, first.name, first.rank
        )
    } else if first.feed != later.feed {
        format!(
            "the feeds have rank {}, and {} comes after {} by name",
            first.rank, later.name, first.name
        )
    } else if winner.updated_at != loser.updated_at {
        "its updated_at is older or missing".to_owned()
    } else if winner.created_at != loser.created_at {
        "same updated_at, its created_at is older or missing".to_owned()
    } else {
        "same times, its source key sorts later".to_owned()
    }
}

fn why_payment(winner: &Payment, loser: &Payment) -> &'static str {
    if winner.status.is_successful() != loser.status.is_successful() {
        "successful payments come first"
    } else if payment_time(winner) != payment_time(loser) {
        "its paid_at, else created, is older or missing"
    } else {
        "same time, its source row sorts later"
    }
}

fn tags(profile: &Profile, ranked: &Ranked<'_>) -> FieldExplanation {
    let rule = "union over all contacts, ignoring case";
    let mut field = alone("tags", Some(profile.tags.join(", ")), rule);
    field.candidates_left_out = ranked.contacts.len().saturating_sub(MAX_CANDIDATES);
    let contacts = ranked.contacts.iter().take(MAX_CANDIDATES);
    let candidates = contacts.map(|contact| Candidate {
        source_row: contact_row(contact),
        value: Some(contact.tags.join(", ")),
        why_lost: None,
    });
    field.candidates = candidates.collect();
    field
}

fn source(field: &'static str, value: &str, ranked: &Ranked<'_>) -> FieldExplanation {
    let rule = if ranked.contacts.is_empty() {
        "the provider of the earliest payment, as there is no contact"
    } else {
        "the provider of the first contact"
    };
    let mut field = alone(field, Some(value.to_owned()), rule);
    field.source_row = acquisition(ranked).map(Origin::source_row);
    field
}

fn cohorts(profile: &Profile, booked: &[Booked<'_>]) -> [FieldExplanation; 2] {
    let winner = cohort(booked);
    let source_row = winner.map(|winner| payment_row(winner.payment));
    let rule = "the provider of the earliest successful or reversed transaction";
    let source = profile.payment_source.as_deref().map(str::to_owned);
    let mut payment_source = alone("payment_source", source, rule);
    payment_source.source_row.clone_from(&source_row);
    let rule = "local date of paid_at of the earliest successful or reversed transaction";
    let mut date = alone("cohort_date", profile.cohort_date.map(|date| date.to_string()), rule);
    date.source_row = source_row;
    let losers = || {
        let winner = winner.map(|winner| winner.transaction.id);
        booked.iter().filter(move |booked| Some(booked.transaction.id) != winner)
    };
    date.candidates_left_out = losers().count().saturating_sub(MAX_CANDIDATES);
    let candidates = losers().take(MAX_CANDIDATES).map(|booked| Candidate {
        source_row: payment_row(booked.payment),
        value: booked.paid_on.map(|date| date.to_string()),
        why_lost: Some(if booked.was_paid() {
            "paid later, or at an unknown time".to_owned()
        } else {
            format!("status {}: never paid", booked.payment.status.as_str())
        }),
    });
    date.candidates = candidates.collect();
    [payment_source, date]
}

fn systemeio_id(profile: &Profile, ranked: &Ranked<'_>, context: &Context) -> FieldExplanation {
    let rule = "contact_id of the first contact of the primary feed that has one";
    let column = Column { field: "systemeio_id", value: profile.systemeio_id.clone(), rule };
    let mut field = column.ranked(ranked.contact_ids(), |id| Some((*id).clone()));
    let chosen = crate::unify::survivorship::first(ranked.contact_ids());
    let Some(id) = chosen.filter(|_| field.value.is_none()) else { return field };
    // The first contact's id went to another person (SPEC §4.4), and the next one does not take over.
    let holder = context.contact_id_holders.get(id).map_or("another person", |key| key.as_str());
    let why_lost = Some(format!("contacts of {holder} carry this contact_id and come first"));
    if let Some(source_row) = field.source_row.take() {
        field.candidates.insert(0, Candidate { source_row, value: Some(id.clone()), why_lost });
    }
    field
}

fn systemeio_tags(profile: &Profile, ranked: &Ranked<'_>) -> FieldExplanation {
    let rule = "the tags text of the first contact";
    let mut contacts = ranked.contacts.iter();
    let mut field = alone("systemeio_tags", profile.systemeio_tags.clone(), rule);
    let Some(first) = contacts.next() else { return field };
    field.source_row = Some(contact_row(first));
    field.candidates_left_out = contacts.len().saturating_sub(MAX_CANDIDATES);
    let candidates = contacts.take(MAX_CANDIDATES).map(|contact| Candidate {
        source_row: contact_row(contact),
        value: contact.tags_text.clone(),
        why_lost: Some(why_contact(first, contact)),
    });
    field.candidates = candidates.collect();
    field
}

fn times(profile: &Profile, ranked: &Ranked<'_>) -> [FieldExplanation; 2] {
    let created = profile.created_at.map(|at| at.to_string());
    let rule = "earliest created time of any row, else the earliest sync_timestamp";
    let created = Column { field: "created_at", value: created, rule };
    let active = profile.last_active_at.map(|at| at.to_string());
    let rule = "latest of contact updated_at and payment paid_at, else created";
    let active = Column { field: "last_active_at", value: active, rule };
    [
        created.explained(
            ranked.created().into_iter(),
            |at| Some(at.to_string()),
            |_, _| "not earlier than the winner".to_owned(),
        ),
        active.explained(
            ranked.active().into_iter(),
            |at| Some(at.to_string()),
            |_, _| "not later than the winner".to_owned(),
        ),
    ]
}
