//! What each kind of problem is, and how it is prevented where the data comes from.

use crate::unify::ConflictKind as Kind;

/// The title of a kind and what prevents it.
#[must_use]
pub fn of(kind: Kind) -> (&'static str, &'static str) {
    match kind {
        Kind::UnlinkedPayment => (
            "Payments without a usable e-mail address",
            "Make the e-mail address a required, validated field of the checkout, and pass it to the payment provider.",
        ),
        Kind::UnusableEmail => (
            "Contacts without a usable e-mail address",
            "Validate addresses when a form is submitted, and confirm them by a message (double opt-in).",
        ),
        Kind::InvalidAmount => (
            "Amounts that are no numbers",
            "Store amounts as numbers in the source, without currency signs or thousands separators.",
        ),
        Kind::NonPositiveAmount => (
            "Successful payments of 0 or less",
            "Record vouchers and test orders with a status or a feed of their own, or leave them out with `skip`.",
        ),
        Kind::CurrencyMismatch => (
            "Successful payments in another currency",
            "Check the currency of the checkout; where several are meant, configure the further ones.",
        ),
        Kind::Underpaid => (
            "Payments below the price",
            "Have the provider refuse partial payments, or set the expected amount when the price changes.",
        ),
        Kind::UnmappedStatus => (
            "Statuses that no rule knows",
            "Add the word to `[rules.status]`, and ask the provider for the list of its statuses.",
        ),
        Kind::UnmappedProduct => (
            "Successful payments without a product",
            "Send the product's code with each order, or add the description to the matches of a product.",
        ),
        Kind::MultipleProducts => (
            "Payments that match several products",
            "Make the matches of the products exclusive, or send one order for each product.",
        ),
        Kind::UnparsableTimestamp => (
            "Times that cannot be read",
            "Write times in the source as ISO 8601 with an offset, such as 2025-06-30T12:00:00+08:00.",
        ),
        Kind::TemporalOrder => (
            "Paid before they were created",
            "Use one clock and one zone for all times of an order, and do not overwrite the time of creation.",
        ),
        Kind::DuplicateExternalId => (
            "Order numbers used more than once",
            "Have the shop make a new order number for each checkout, and a unique constraint enforce it.",
        ),
        Kind::DuplicatePurchase => (
            "Purchases within a running access period",
            "Show customers their running access before they pay, and refund what was bought twice.",
        ),
        Kind::TagWithoutPayment => (
            "Tagged as buyers without a payment",
            "Let the payment set the tag, not a person or an import; remove the tag where access was given free.",
        ),
        Kind::PaymentWithoutTag => (
            "Buyers without the product's tag",
            "Check the automation that tags buyers: it did not run, or ran for another address.",
        ),
        Kind::PossibleDuplicate => (
            "People who may be one",
            "Ask customers to log in before they buy; decide the pairs with `tributary conflicts resolve`.",
        ),
        Kind::NameDisagreement => (
            "Names that differ between payment and profile",
            "Expected where somebody pays for another person; else ask for the buyer's name at the checkout.",
        ),
        Kind::ContactIdCollision => (
            "Contact ids used for several people",
            "Do not reuse ids of deleted contacts, and do not edit the id in exports.",
        ),
        Kind::EmailChangeCollision => (
            "Address changes onto another person",
            "Have changes of an address refused where another contact has it; decide whether the two are one.",
        ),
        Kind::EmailChangeSplit => (
            "Address changes that may split a person",
            "Change the address of all contacts of a person together; decide with an alias or a separation.",
        ),
        Kind::DeleteBlocked => (
            "Deleted payments that the application still uses",
            "Cancel or refund payments in place of deleting them from the source.",
        ),
        Kind::SourceAbsent => (
            "People who are in no source any more",
            "Expected after a deletion; `tributary erase` forgets a person who asked for it.",
        ),
        Kind::MissingAuthUser => (
            "People without a login",
            "Invite them, or have logins made with the profile; they come in once the user exists.",
        ),
        Kind::DuplicateProfile => (
            "Profiles with one address",
            "Add a unique index on lower(email) once the profiles are merged.",
        ),
        Kind::DuplicateTransaction => (
            "Several transactions with one provider id",
            "Make the provider id unique in the application, and remove the further transactions.",
        ),
        Kind::RejectedRow => (
            "Rows that the target refuses",
            "Compare constraints and triggers of the target tables with the rows; `conflicts show` names the refusal.",
        ),
        Kind::IncompleteRow => (
            "Rows with a value that is not known yet",
            "Set `replica identity full` on the table, or let the daemon read the row again.",
        ),
        Kind::ExcludedRow => (
            "Rows of excluded addresses",
            "Expected: `[rules.exclude]` names them. Keep tests in an environment of their own.",
        ),
        Kind::DuplicatePayment => (
            "Payments that were recorded twice",
            "Give webhooks an idempotency key, so that one that is delivered again adds no row.",
        ),
        Kind::PaidAtInferred => (
            "Payment dates that were inferred",
            "Store the provider's time of payment with the payment.",
        ),
        Kind::InvisibleCharacter => (
            "Invisible characters",
            "Trim and normalise text (NFC) when it is entered; they come from copied text.",
        ),
        Kind::Mojibake => (
            "Text in a wrong character set",
            "Export and import as UTF-8; do not open the files in a spreadsheet in between.",
        ),
        Kind::InvalidPhone => (
            "Phone numbers that are none",
            "Ask for phone numbers with their country, and validate them on entry.",
        ),
        Kind::TimezoneAbbreviation => (
            "Zones by their abbreviation",
            "Write an offset or a zone's full name, such as Asia/Manila: PST has two meanings.",
        ),
        Kind::DateOnly => (
            "Times without the time of day",
            "Store the full time; a date alone is read as midnight in the configured zone.",
        ),
        Kind::SpreadsheetDate => (
            "Dates as numbers of a spreadsheet",
            "Format date columns as text (ISO 8601) before exporting a spreadsheet.",
        ),
        Kind::AmbiguousDate => (
            "Dates whose day and month may be exchanged",
            "Write dates as 2025-06-30; configure the order of day and month for feeds that cannot.",
        ),
        Kind::UnreadableTags => {
            ("Tags that cannot be read", "Store tags as a JSON array or separated by commas.")
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_kind_has_a_title_of_its_own_and_advice() {
        let titles: std::collections::BTreeSet<&str> =
            Kind::ALL.into_iter().map(|kind| of(kind).0).collect();
        assert_eq!(titles.len(), Kind::ALL.len());
        assert!(Kind::ALL.into_iter().all(|kind| of(kind).1.ends_with(['.', '1'])));
    }
}
