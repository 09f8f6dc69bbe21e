//! What can be done about each kind of conflict (SPEC §6, §7). Pure.

use serde_json::Value;

use crate::decisions::Request;
use crate::error::{Error, Result};
use crate::unify::ConflictKind;

/// How a person may settle a conflict.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Way {
    /// Of a pair, one address remains and the other becomes its alias.
    Keep,
    /// The pair are two people.
    Separate,
    /// The facts of this person belong to another address.
    AliasTo,
    /// Use this address for the row.
    Email,
    /// The payment is for this product.
    Product,
}

impl Way {
    /// The option, with what it takes.
    pub(crate) fn option(self) -> &'static str {
        match self {
            Self::Keep => "--keep EMAIL",
            Self::Separate => "--separate",
            Self::AliasTo => "--alias-to EMAIL",
            Self::Email => "--email ADDR",
            Self::Product => "--product CODE",
        }
    }

    fn meaning(self) -> &'static str {
        match self {
            Self::Keep => "they are one person; this address remains, the other becomes its alias",
            Self::Separate => "they are two people; never suggest the pair again",
            Self::AliasTo => "the facts of this address belong to that person",
            Self::Email => "use this address for the row",
            Self::Product => "the payment is for this product",
        }
    }
}

/// The decisions that fit a kind; none where only the source, or a dismissal, ends it.
pub(crate) fn ways(kind: ConflictKind) -> &'static [Way] {
    use ConflictKind as K;
    match kind {
        K::PossibleDuplicate | K::EmailChangeCollision | K::EmailChangeSplit => {
            &[Way::Keep, Way::Separate]
        }
        K::ContactIdCollision => &[Way::Keep],
        K::TagWithoutPayment | K::PaymentWithoutTag | K::SourceAbsent => &[Way::AliasTo],
        K::UnlinkedPayment | K::UnusableEmail => &[Way::Email],
        K::UnmappedProduct | K::MultipleProducts => &[Way::Product],
        _ => &[],
    }
}

/// What resolves the cause, where that is not a decision.
pub(crate) fn remedy(kind: ConflictKind) -> &'static str {
    use ConflictKind as K;
    match kind {
        K::UnlinkedPayment | K::UnusableEmail => "or correct the address at the source",
        K::InvalidAmount | K::NonPositiveAmount | K::CurrencyMismatch | K::Underpaid => {
            "check the payment with the provider and correct the row at the source"
        }
        K::UnmappedStatus => {
            "correct the status at the source, or map the word in the configuration"
        }
        K::UnmappedProduct | K::MultipleProducts => {
            "or add a phrase to the product in the configuration, for all payments like it"
        }
        K::UnparsableTimestamp | K::TemporalOrder => "correct the time at the source",
        K::DuplicateExternalId => {
            "compare the payments with the provider; remove or correct the wrong row at the source"
        }
        K::DuplicatePurchase => "refund one of the payments, or dismiss it if it was meant",
        K::TagWithoutPayment => "or remove the tag from the contact",
        K::PaymentWithoutTag => "or give the contact the tag",
        K::PossibleDuplicate | K::EmailChangeCollision | K::EmailChangeSplit => {
            "merging can be reverted"
        }
        K::NameDisagreement => "correct the name at the source if it is wrong",
        K::ContactIdCollision => "or correct the contact's id at the source",
        K::DeleteBlocked => {
            "remove the reference to the transaction in the application, or bring the payment back"
        }
        K::SourceAbsent => "nothing, unless the application should forget the profile too",
        K::MissingAuthUser => "create the user; the person is linked by itself within a minute",
        K::DuplicateProfile => {
            "merge the profiles in the application; the eldest one is maintained"
        }
        K::DuplicateTransaction => {
            "remove the other transactions in the application; the one that was adopted is maintained"
        }
        K::RejectedRow => "see the reason; change the constraint of the target, or the source row",
        K::IncompleteRow => {
            "touch the row at the source, so that the stream carries all of it; it is also read again by itself"
        }
        K::UnreadableTags => "correct the tags at the source: a list in one of the known forms",
        _ => "nothing: it was handled, and is kept for reference",
    }
}

/// Exact commands for a conflict, each with what it means.
pub(crate) fn commands(id: i64, kind: ConflictKind, evidence: &Value) -> Vec<String> {
    let pair = pair(kind, evidence);
    let mut lines = Vec::new();
    for way in ways(kind) {
        let option = match (way, &pair) {
            (Way::Keep, None) => continue,
            (Way::Keep, Some((a, b))) => {
                for keep in [a, b] {
                    let meaning = way.meaning();
                    lines.push(format!(
                        "tributary conflicts resolve {id} --keep {keep}   # {meaning}"
                    ));
                }
                continue;
            }
            _ => way.option(),
        };
        lines.push(format!("tributary conflicts resolve {id} {option}   # {}", way.meaning()));
    }
    lines
        .push(format!("tributary conflicts dismiss {id} --note TEXT   # nothing needs to be done"));
    lines
}

/// The two people of a conflict about exactly two.
pub(crate) fn pair(kind: ConflictKind, evidence: &Value) -> Option<(String, String)> {
    let text = |value: &Value| value.as_str().map(str::to_owned);
    let of_list = |list: &Value| match list.as_array()?.as_slice() {
        [a, b] => Some((text(a)?, text(b)?)),
        _ => None,
    };
    match kind {
        ConflictKind::PossibleDuplicate => of_list(&evidence["emails"]),
        ConflictKind::EmailChangeCollision | ConflictKind::EmailChangeSplit => {
            Some((text(&evidence["from"])?, text(&evidence["to"])?))
        }
        ConflictKind::ContactIdCollision if evidence["more"] != true => {
            of_list(&evidence["people"])
        }
        _ => None,
    }
}

/// What a person decided about a conflict.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Choice {
    /// `--keep`.
    Keep(String),
    /// `--separate`.
    Separate,
    /// `--alias-to`.
    AliasTo(String),
    /// `--email`.
    Email(String),
    /// `--product`.
    Product(String),
}

impl Choice {
    fn way(&self) -> Way {
        match self {
            Self::Keep(_) => Way::Keep,
            Self::Separate => Way::Separate,
            Self::AliasTo(_) => Way::AliasTo,
            Self::Email(_) => Way::Email,
            Self::Product(_) => Way::Product,
        }
    }
}

/// The request that a choice about a conflict means.
///
/// # Errors
/// A refusal that says what fits the kind.
pub(crate) fn request(kind: ConflictKind, evidence: &Value, choice: &Choice) -> Result<Request> {
    // Of a pair, "alias to one of the two" says the same as keeping that one.
    let choice = match choice {
        Choice::AliasTo(to) if pair(kind, evidence).is_some() => &Choice::Keep(to.clone()),
        other => other,
    };
    if !ways(kind).contains(&choice.way()) {
        return Err(Error::refused(
            format!("{} does not fit {kind}", choice.way().option()),
            what_fits(kind),
        ));
    }
    let text = |pointer: &str| evidence.pointer(pointer).and_then(Value::as_str).map(str::to_owned);
    let row = || text("/source_row").ok_or_else(|| incomplete(kind));
    match choice {
        Choice::Keep(keep) => {
            let (a, b) = pair(kind, evidence).ok_or_else(|| not_a_pair(kind))?;
            let keep = crate::facts::email_key(keep).0.map_err(|_| not_of_the_pair())?.to_string();
            let from = match &keep {
                keep if *keep == a => b,
                keep if *keep == b => a,
                _ => return Err(not_of_the_pair()),
            };
            Ok(Request::Alias { from, to: keep })
        }
        Choice::Separate => {
            let (a, b) = pair(kind, evidence).ok_or_else(|| not_a_pair(kind))?;
            Ok(Request::Separate { a, b })
        }
        Choice::AliasTo(to) => {
            let from = text("/email").ok_or_else(|| incomplete(kind))?;
            Ok(Request::Alias { from, to: to.clone() })
        }
        Choice::Email(address) => Ok(Request::Email { row: row()?, address: address.clone() }),
        Choice::Product(code) => Ok(Request::Product { row: row()?, code: code.clone() }),
    }
}

/// One sentence on what fits a kind.
pub(crate) fn what_fits(kind: ConflictKind) -> String {
    let options: Vec<&str> = ways(kind).iter().map(|way| way.option()).collect();
    if options.is_empty() {
        return format!("no decision fits {kind}: {}; or dismiss it", remedy(kind));
    }
    format!("what fits {kind} is {}, or `tributary conflicts dismiss`", options.join(" or "))
}

fn not_of_the_pair() -> Error {
    Error::refused(
        "the address to keep is neither of the pair",
        "name one of the two that `tributary conflicts show` prints",
    )
}

fn not_a_pair(kind: ConflictKind) -> Error {
    Error::refused(
        format!("this {kind} is about more than two people"),
        "join them one by one: `tributary decisions add alias FROM TO`",
    )
}

fn incomplete(kind: ConflictKind) -> Error {
    Error::failed("reading a conflict", format!("the evidence of {kind} is not complete"))
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn each_choice_fits_its_kinds_and_no_others_spec_6_and_7() {
        use ConflictKind as K;
        let evidence = json!({
            "emails": ["a@example.com", "b@example.com"],
            "people": ["a@example.com", "b@example.com"],
            "from": "a@example.com", "to": "b@example.com",
            "email": "a@example.com", "source_row": "xendit:1", "more": false,
        });
        let choices = [
            (Choice::Keep("b@example.com".into()), "keep"),
            (Choice::Separate, "separate"),
            (Choice::Email("c@example.com".into()), "email"),
            (Choice::Product("p2p".into()), "product"),
        ];
        let check = |kind: K, expected: &[&str]| {
            let fit = choices.iter().filter(|(choice, _)| request(kind, &evidence, choice).is_ok());
            let fit: Vec<&str> = fit.map(|(_, name)| *name).collect();
            assert_eq!(fit, expected, "{kind}");
        };
        for kind in K::ALL {
            match kind {
                K::PossibleDuplicate | K::EmailChangeCollision | K::EmailChangeSplit => {
                    check(kind, &["keep", "separate"]);
                }
                K::ContactIdCollision => check(kind, &["keep"]),
                K::UnlinkedPayment | K::UnusableEmail => check(kind, &["email"]),
                K::UnmappedProduct | K::MultipleProducts => check(kind, &["product"]),
                _ => check(kind, &[]),
            }
        }
    }

    #[test]
    fn a_choice_becomes_the_request_of_spec_7() {
        use ConflictKind as K;
        let pair = json!({ "emails": ["a@example.com", "b@example.com"] });
        let check = |kind: K, evidence: &Value, choice: Choice, expected: Option<Request>| {
            assert_eq!(request(kind, evidence, &choice).ok(), expected, "{kind} {choice:?}");
        };
        let alias =
            |from: &str, to: &str| Some(Request::Alias { from: from.into(), to: to.into() });
        let (a, b) = ("a@example.com", "b@example.com");
        check(K::PossibleDuplicate, &pair, Choice::Keep(b.into()), alias(a, b));
        check(K::PossibleDuplicate, &pair, Choice::Keep("A@Example.com ".into()), alias(b, a));
        check(K::PossibleDuplicate, &pair, Choice::AliasTo(a.into()), alias(b, a));
        check(K::PossibleDuplicate, &pair, Choice::Keep("c@example.com".into()), None);
        let separate = Some(Request::Separate { a: a.into(), b: b.into() });
        check(K::PossibleDuplicate, &pair, Choice::Separate, separate);
        let person = json!({ "email": a });
        check(K::TagWithoutPayment, &person, Choice::AliasTo(b.into()), alias(a, b));
        let three = json!({ "people": [a, b, "c@example.com"], "more": false });
        check(K::ContactIdCollision, &three, Choice::Keep(a.into()), None);
        let row = json!({ "source_row": "xendit:1" });
        let email = Some(Request::Email { row: "xendit:1".into(), address: a.into() });
        check(K::UnlinkedPayment, &row, Choice::Email(a.into()), email);
        check(K::UnlinkedPayment, &row, Choice::Product("p2p".into()), None);
        let product = Some(Request::Product { row: "xendit:1".into(), code: "p2p".into() });
        check(K::UnmappedProduct, &row, Choice::Product("p2p".into()), product);
    }

    #[test]
    fn every_kind_has_a_way_on() {
        for kind in ConflictKind::ALL {
            assert!(!remedy(kind).is_empty() && !what_fits(kind).is_empty(), "{kind}");
            assert!(!commands(1, kind, &json!({})).is_empty(), "{kind}");
        }
    }
}
