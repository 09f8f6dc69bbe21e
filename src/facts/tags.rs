//! Tags: whole words that a marketer gave to a contact (SPEC §3.6).

use std::collections::BTreeMap;

use serde_json::value::RawValue;

use super::clean::clean;

/// SPEC §3.6: the tags of a raw text, in their known spelling, without repeats, sorted.
pub(super) fn tags(raw: &str, known: &[String]) -> Vec<String> {
    match json_tags(raw) {
        Some(texts) => merged(texts.iter().map(String::as_str), known),
        None => merged(raw.split(','), known),
    }
}

/// The texts of a JSON array: its strings, and the names of its objects.
fn json_tags(raw: &str) -> Option<Vec<String>> {
    if !raw.contains('[') {
        return None;
    }
    // A byte-order mark or another invisible character around it does not make it another thing.
    parsed(raw).or_else(|| parsed(&clean(raw)?))
}

fn parsed(json: &str) -> Option<Vec<String>> {
    // Raw: a number that fits no type is only one more element to ignore.
    let elements: Vec<&RawValue> = serde_json::from_str(json).ok()?;
    let mut texts = Vec::new();
    for element in elements.into_iter().map(RawValue::get) {
        if element.starts_with('"') {
            // An escape of half a character makes it no text, and the whole no array.
            texts.push(serde_json::from_str(element).ok()?);
        } else if let Ok(object) = serde_json::from_str::<BTreeMap<String, &RawValue>>(element) {
            texts.extend(object.get("name").and_then(|name| serde_json::from_str(name.get()).ok()));
        }
    }
    Some(texts)
}

fn merged<'a>(texts: impl Iterator<Item = &'a str>, known: &[String]) -> Vec<String> {
    let mut by_lowercase = BTreeMap::new();
    for tag in texts.filter_map(clean) {
        by_lowercase.entry(tag.to_lowercase()).or_insert(tag);
    }
    let spelling = |(lowercase, tag): (String, String)| {
        let known = known.iter().find(|known| known.to_lowercase() == lowercase);
        known.cloned().unwrap_or(tag)
    };
    by_lowercase.into_iter().map(spelling).collect()
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::rules::Rules;

    #[test]
    fn tags_are_read_as_spec_3_6_says() {
        let known = Rules::default().known_tags;
        let check = |raw: &str, expected: &[&str]| {
            assert_eq!(tags(raw, &known), expected, "{raw}");
        };
        check("paidp2p, VIP", &["PaidP2P", "VIP"]);
        check("VIP,vip, Vip", &["VIP"]);
        check("PaidP2P2, xPaidP2P", &["PaidP2P2", "xPaidP2P"]);
        check("b, A, _c, Z", &["_c", "A", "b", "Z"]);
        check(" \u{feff}VIP\u{200b} ,, n/a, null,-", &["VIP"]);
        check("Gold  member,gold\tMember", &["Gold member"]);
        check("", &[]);
        check("[]", &[]);
        check(r#"["vip", "CANVA", "vip"]"#, &["Canva", "vip"]);
        check(
            r#"[{"id": 1, "name": "imported"}, "New", 3, null, ["x"], {"name": 4}]"#,
            &["Imported", "New"],
        );
        check(r#" ["Gold, silver"] "#, &["Gold, silver"]);
        check(r#"[1e999, "big", {"name": "x", "of": -1e999}, {"name": 1e999}]"#, &["big", "x"]);
        check(r#"["\ud800"]"#, &[r#"["\ud800"]"#]);
        check("\u{feff}[\"A\"]", &["A"]);
        check(r#"["A","#, &["[\"A\""]);
        check(r#"{"name": "A"}"#, &[r#"{"name": "A"}"#]);
        check("[A], B", &["[A]", "B"]);
        check("ÉCOLE,école", &["ÉCOLE"]);
    }

    proptest! {
        #[test]
        fn any_text_gives_stable_tags(raw in any::<String>()) {
            let once = tags(&raw, &[]);
            let again = serde_json::to_string(&once).unwrap();
            prop_assert_eq!(tags(&again, &[]), once);
        }
    }
}
