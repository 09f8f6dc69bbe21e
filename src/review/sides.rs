//! The sides of a conflict, to be put beside each other. Pure.

use serde_json::{Map, Value};

use super::summary::text;

/// One side: a title and its values, in the order shown.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Side {
    pub(crate) title: String,
    pub(crate) values: Vec<(String, String)>,
}

/// The order in which values are read; others follow by name.
const ORDER: [&str; 18] = [
    "source_row",
    "email",
    "person",
    "customer_name",
    "name",
    "amount",
    "currency",
    "status",
    "product",
    "products",
    "description",
    "external_id",
    "payment_id",
    "contact_id",
    "phone",
    "tags",
    "created_at",
    "paid_at",
];

impl Side {
    pub(crate) fn of(title: &str, value: &Value) -> Self {
        let empty = Map::new();
        let object = value.as_object().unwrap_or(&empty);
        let mut values: Vec<(String, String)> =
            object.iter().map(|(name, value)| (name.clone(), text(Some(value)))).collect();
        let rank =
            |name: &str| ORDER.iter().position(|known| *known == name).unwrap_or(ORDER.len());
        values.sort_by(|(a, _), (b, _)| (rank(a), a).cmp(&(rank(b), b)));
        Self { title: title.to_owned(), values }
    }
}

/// Every side that the evidence holds.
pub(crate) fn sides(evidence: &Value) -> Vec<Side> {
    let mut sides = Vec::new();
    for title in ["payment", "contact", "survivor", "duplicate"] {
        if evidence[title].is_object() {
            sides.push(Side::of(title, &evidence[title]));
        }
    }
    let mut all = |title: &str, list: &Value| {
        for (index, side) in list.as_array().into_iter().flatten().enumerate() {
            sides.push(Side::of(&format!("{title} {}", index + 1), side));
        }
    };
    all("payment", &evidence["sides"]);
    all("contact", &evidence["contacts"]["shown"]);
    all("payment", &evidence["payments"]["shown"]);
    for period in evidence["periods"]["shown"].as_array().into_iter().flatten() {
        let start = text(period.get("start_date"));
        sides.push(Side::of(&format!("opened {start}"), &period["opened_by"]));
        for side in period["bought_again"]["shown"].as_array().into_iter().flatten() {
            sides.push(Side::of("bought again", side));
        }
    }
    sides
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn each_shape_of_evidence_has_its_sides() {
        let check = |evidence: Value, expected: &[&str]| {
            let found = sides(&evidence);
            let titles: Vec<&str> = found.iter().map(|side| side.title.as_str()).collect();
            assert_eq!(titles, expected);
        };
        let side = || json!({ "source_row": "xendit:1" });
        check(json!({ "payment": side() }), &["payment"]);
        check(json!({ "duplicate": side(), "survivor": side() }), &["survivor", "duplicate"]);
        let people =
            json!({ "contacts": { "shown": [side()] }, "payments": { "shown": [side(), side()] } });
        check(people, &["contact 1", "payment 1", "payment 2"]);
        let period = json!({ "start_date": "2025-01-01", "opened_by": side(), "bought_again": { "shown": [side()] } });
        check(json!({ "periods": { "shown": [period] } }), &["opened 2025-01-01", "bought again"]);
        check(json!({ "email": "a@example.com" }), &[]);
    }
}
