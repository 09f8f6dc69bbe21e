//! The money that a conflict is about (SPEC §6): what the review queue is sorted by.

use std::collections::BTreeSet;

use rust_decimal::Decimal;
use serde_json::Value;

use crate::rules::Status;

/// What is at stake in a conflict.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct AtStake {
    /// The successful payments among the rows that the evidence names, and those of unknown status; `None`: it names no
    /// payment.
    pub amount: Option<Decimal>,
    /// Where it names none: the people whose successful payments count.
    pub people: Vec<String>,
}

impl AtStake {
    /// Of some evidence.
    #[must_use]
    pub fn of(evidence: &Value) -> Self {
        let mut found = Payments::default();
        found.walk(evidence);
        if !found.rows.is_empty() {
            return Self { amount: Some(found.sum), people: Vec::new() };
        }
        let mut people = BTreeSet::new();
        for name in ["email", "from", "to", "emails", "people"] {
            match evidence.get(name) {
                Some(Value::String(one)) => people.extend([one.clone()]),
                Some(Value::Array(several)) => {
                    people.extend(several.iter().filter_map(|one| Some(one.as_str()?.to_owned())));
                }
                _ => {}
            }
        }
        Self { amount: None, people: people.into_iter().collect() }
    }
}

/// Payments by their source rows, each once.
#[derive(Default)]
struct Payments<'a> {
    rows: BTreeSet<&'a str>,
    sum: Decimal,
}

impl<'a> Payments<'a> {
    fn walk(&mut self, value: &'a Value) {
        match value {
            Value::Object(fields) => {
                let text = |name: &str| fields.get(name).and_then(Value::as_str);
                let payment = text("source_row").zip(text("status"));
                match payment {
                    Some((row, status)) if fields.contains_key("amount") => {
                        self.add(row, status, text("amount"));
                    }
                    _ => fields.values().for_each(|value| self.walk(value)),
                }
            }
            Value::Array(values) => values.iter().for_each(|value| self.walk(value)),
            _ => {}
        }
    }

    fn add(&mut self, row: &'a str, status: &str, amount: Option<&str>) {
        let counts =
            Status::parse(status).is_some_and(|s| s.is_successful() || s == Status::Unknown);
        let amount = amount.and_then(|amount| amount.parse::<Decimal>().ok());
        if self.rows.insert(row)
            && counts
            && let Some(sum) = amount.and_then(|amount| self.sum.checked_add(amount))
        {
            self.sum = sum;
        }
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn payments_of_the_evidence_count_once_else_its_people() {
        let check = |evidence: Value, amount: Option<&str>, people: &[&str]| {
            let found = AtStake::of(&evidence);
            assert_eq!(found.amount, amount.map(|amount| amount.parse().unwrap()), "{evidence}");
            assert_eq!(found.people, people, "{evidence}");
        };
        let side = |row: &str, amount: &str, status: &str| json!({ "source_row": row, "amount": amount, "status": status });
        let one = side("xendit:1", "499.5", "PAID");
        check(json!({ "source_row": "xendit:1", "payment": one }), Some("499.5"), &[]);
        check(json!({ "payment": side("xendit:1", "10", "FAILED"), "email": "a" }), Some("0"), &[]);
        check(json!({ "payment": side("xendit:1", "10", "UNKNOWN") }), Some("10"), &[]);
        let sides =
            json!([one, side("xendit:2", "1", "SETTLED"), one, side("xendit:3", "9", "REFUNDED")]);
        check(json!({ "sides": sides }), Some("500.5"), &[]);
        let shown = json!({ "periods": { "shown": [{ "opened_by": one, "bought_again": { "shown": [one] } }] } });
        check(shown, Some("499.5"), &[]);
        check(
            json!({ "payment": { "source_row": "xendit:1", "status": "PAID", "amount": null } }),
            Some("0"),
            &[],
        );
        check(
            json!({ "emails": ["b@example.com", "a@example.com"] }),
            None,
            &["a@example.com", "b@example.com"],
        );
        check(
            json!({ "from": "a", "to": "b", "contact": { "source_row": "systemeio:1" } }),
            None,
            &["a", "b"],
        );
        check(json!({ "source_row": "xendit:1" }), None, &[]);
    }
}
