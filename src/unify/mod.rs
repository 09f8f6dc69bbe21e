//! People out of facts (SPEC §4 to §6): survivorship, transactions, enrollments, conflicts.
//!
//! Pure: knows no SQL, no clock, no order of arrival. The same facts in any order give the same answer.
//! In reading order: [`model`](Group) is what goes in and comes out, `order` decides between rows,
//! `duplicates` and `transaction` make transactions, `survivorship` and `profile` the profile,
//! `enrollment` the access periods, and the `*_conflicts` what a person should look at. `explain` shows
//! the same choices instead of their outcome.

mod cross_conflicts;
mod duplicates;
mod enrollment;
mod evidence;
mod explain;
mod model;
mod order;
mod pairs;
mod person_conflicts;
mod profile;
mod row_conflicts;
mod scope;
mod survivorship;
mod transaction;

#[cfg(test)]
mod tests;

pub use cross_conflicts::{
    ExternalIdSide, contact_id_collision, delete_blocked, duplicate_external_id, duplicate_profile,
    duplicate_transaction, email_change_collision, email_change_split, excluded_row,
    incomplete_row, missing_auth_user, possible_duplicate, rejected_row, source_absent,
};
pub use duplicates::{
    identity, orphan_group_of_payment, orphan_of_contact, owner_of_left_out, single_product,
};
pub use explain::{
    Candidate, EnrollmentExplanation, Explanation, FieldExplanation, PaymentExplanation,
    PeriodExplanation, explain,
};
pub use model::{
    Conflict, ConflictKind, Context, Enrollment, EnrollmentStatus, Group, Owner, Profile, Severity,
    Transaction, Unified, fingerprint,
};
pub use order::{compare_contacts, compare_duplicates, compare_payments, compare_transactions};
pub use pairs::{Nearest, nearest_earlier};
pub use scope::{
    scope_of_blocked, scope_of_collision, scope_of_contact_id, scope_of_external_id, scope_of_link,
    scope_of_owner, scope_of_pair, scope_of_rejected, scope_of_split, scopes,
};
pub use transaction::transaction_id;

use crate::rules::Rules;

/// Everything the facts of one owner imply (SPEC §4.2, §5, §6), but for what is judged across owners.
///
/// A person whom the profile filter leaves out has transactions and the conflicts of their rows, and
/// nothing else. So do rows without a person.
#[must_use]
pub fn unify(group: &Group, context: &Context, rules: &Rules) -> Unified {
    let ranked = survivorship::Ranked::of(group);
    let outcomes = duplicates::outcomes(&group.payments);
    let booked = transaction::book(&outcomes, rules);

    let mut conflicts = person_conflicts::duplicate_payments(group, &outcomes);
    let owner = &group.owner;
    conflicts.extend(group.contacts.iter().flat_map(|c| row_conflicts::of_contact(owner, c)));
    let of_payment = |payment| row_conflicts::of_payment(owner, payment, rules);
    conflicts.extend(group.payments.iter().flat_map(of_payment));

    let person = group.owner.person().filter(|_| profile::is_included(group, rules));
    let profile = person.map(|email| profile::profile(email, &ranked, &booked, context, rules));
    let mut enrollments = Vec::new();
    if let Some(profile) = &profile {
        let standings = enrollment::standings(&booked, rules);
        enrollments = standings.iter().filter_map(|s| s.enrollment(context)).collect();
        let (outcomes, booked, standings) = (&outcomes, &booked, &standings);
        let person = person_conflicts::Person { group, outcomes, booked, standings, profile };
        conflicts.extend(person_conflicts::of_person(&person, rules));
    }

    conflicts.sort_by(|a, b| (a.kind, &a.subject).cmp(&(b.kind, &b.subject)));
    let mut transactions: Vec<Transaction> = booked.into_iter().map(|b| b.transaction).collect();
    transactions.sort_by_key(|transaction| transaction.id);
    Unified { owner: group.owner.clone(), profile, transactions, enrollments, conflicts }
}
