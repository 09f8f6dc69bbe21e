//! One line that says what a conflict is about. Pure.

use serde_json::Value;

use crate::facts::visible;
use crate::unify::ConflictKind;

/// Longest summary, in characters: what a table row can hold.
const MAX_SUMMARY: usize = 100;

/// What a conflict is about, from its evidence. What does not show is made visible.
pub(in crate::cli) fn summary(kind: &str, evidence: &Value) -> String {
    let line = visible(&line(ConflictKind::parse(kind), evidence));
    match line.char_indices().nth(MAX_SUMMARY) {
        Some((end, _)) => format!("{}…", &line[..end]),
        None => line,
    }
}

fn line(kind: Option<ConflictKind>, evidence: &Value) -> String {
    use ConflictKind as K;
    let at = |pointer: &str| text(evidence.pointer(pointer));
    let paid = || {
        format!("{} {} {}", at("/payment/status"), at("/payment/amount"), at("/payment/currency"))
    };
    let Some(kind) = kind else { return String::new() };
    match kind {
        K::UnlinkedPayment => format!("{}: e-mail {}", paid(), at("/reason")),
        K::UnusableEmail => format!("contact's e-mail is {}", at("/reason")),
        K::InvalidAmount | K::NonPositiveAmount => {
            format!("{}, raw {}", paid(), raw(evidence, "amount"))
        }
        K::CurrencyMismatch => format!("{}, expected {}", paid(), at("/expected_currency")),
        K::Underpaid => format!("{}, paid {}", paid(), at("/paid_amount")),
        K::UnmappedStatus => format!("status {}", raw(evidence, "status")),
        K::UnmappedProduct => format!("{} for “{}”", paid(), at("/payment/description")),
        K::MultipleProducts => format!(
            "{} in “{}”",
            list(&evidence["payment"]["products"]),
            at("/payment/description")
        ),
        K::TemporalOrder => {
            format!("paid {}, created {}", at("/payment/paid_at"), at("/payment/created_at"))
        }
        K::DuplicateExternalId => {
            let sides = evidence["sides"].as_array().map_or(0, Vec::len);
            let more = if evidence["more"] == true { " or more" } else { "" };
            format!("{sides}{more} payments differ in {}", list(&evidence["differs_in"]))
        }
        K::DuplicatePurchase => format!("{} bought again within access", at("/product")),
        K::TagWithoutPayment => format!("tagged {}, never paid {}", at("/tag"), at("/product")),
        K::PaymentWithoutTag => format!("paid {}, not tagged {}", at("/product"), at("/tag")),
        K::PossibleDuplicate => format!("both read as {}", at("/canonical")),
        K::NameDisagreement => {
            format!("profile {}, paid as {}", at("/profile_name"), at("/customer_name"))
        }
        K::ContactIdCollision => {
            format!("held by {}, also on {}", at("/holder"), list(&evidence["people"]))
        }
        K::EmailChangeCollision => {
            format!("{} moved to {}, who was there", at("/source_row"), at("/to"))
        }
        K::EmailChangeSplit => {
            format!(
                "{} moved to {}, others stayed with {}",
                at("/source_row"),
                at("/to"),
                at("/from")
            )
        }
        K::DeleteBlocked => format!("{} still refers to its transaction", at("/referenced_by")),
        K::SourceAbsent => "no source row carries this address any more".to_owned(),
        K::MissingAuthUser => "no user has this address yet".to_owned(),
        K::DuplicateProfile => format!("{} more profiles with this address", at("/other_profiles")),
        K::DuplicateTransaction => {
            format!("{} more transactions with this provider id", at("/other_transactions"))
        }
        K::RejectedRow => at("/reason"),
        K::IncompleteRow => format!("{} is not known yet", list(&evidence["columns"])),
        K::ExcludedRow => format!("the address matches {}", at("/pattern")),
        K::DuplicatePayment => format!("the same payment as {}", at("/survivor/source_row")),
        K::PaidAtInferred => format!("paid_at taken from {}", at("/inferred_from")),
        K::UnparsableTimestamp
        | K::InvisibleCharacter
        | K::Mojibake
        | K::InvalidPhone
        | K::TimezoneAbbreviation
        | K::DateOnly
        | K::SpreadsheetDate
        | K::AmbiguousDate
        | K::UnreadableTags => {
            format!("{} {}", at("/fields/0/field"), at("/fields/0/raw"))
        }
    }
}

/// A value as people read it; `none` for NULL.
pub(super) fn text(value: Option<&Value>) -> String {
    match value {
        None | Some(Value::Null) => "none".to_owned(),
        Some(Value::String(text)) => text.clone(),
        Some(Value::Array(_)) => value.map_or_else(String::new, list),
        Some(other) => other.to_string(),
    }
}

fn list(value: &Value) -> String {
    let items = value.as_array().map_or(&[][..], Vec::as_slice);
    let items: Vec<String> = items.iter().map(|item| text(Some(item))).collect();
    if items.is_empty() { "none".to_owned() } else { items.join(", ") }
}

fn raw(evidence: &Value, field: &str) -> String {
    text(evidence["raw"].get(field))
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn each_kind_says_what_it_is_about() {
        let check = |kind: &str, evidence: Value, expected: &str| {
            assert_eq!(summary(kind, &evidence), expected, "{kind}");
        };
        let payment = json!({ "status": "PAID", "amount": "499", "currency": "PHP", "products": ["p2p", "canva"],
            "description": "P2P and Canva" });
        check(
            "unlinked_payment",
            json!({ "payment": payment, "reason": "missing" }),
            "PAID 499 PHP: e-mail missing",
        );
        check(
            "underpaid",
            json!({ "payment": payment, "paid_amount": "10" }),
            "PAID 499 PHP, paid 10",
        );
        check("multiple_products", json!({ "payment": payment }), "p2p, canva in “P2P and Canva”");
        check(
            "unmapped_status",
            json!({ "raw": { "status": "PA\u{200b}ID" } }),
            "status PA<U+200B>ID",
        );
        check(
            "possible_duplicate",
            json!({ "canonical": "a@gmail.com" }),
            "both read as a@gmail.com",
        );
        check(
            "duplicate_external_id",
            json!({ "sides": [{}, {}], "differs_in": ["person", "amount"], "more": false }),
            "2 payments differ in person, amount",
        );
        check(
            "unparsable_timestamp",
            json!({ "fields": [{ "field": "paid_at", "raw": "soon" }] }),
            "paid_at soon",
        );
        check(
            "rejected_row",
            json!({ "reason": "x".repeat(200) }),
            &format!("{}…", "x".repeat(100)),
        );
        check("something_newer", json!({}), "");
    }

    #[test]
    fn incomplete_evidence_is_no_failure() {
        for kind in ConflictKind::ALL {
            assert!(!summary(kind.as_str(), &json!({})).is_empty(), "{kind}");
        }
    }
}
