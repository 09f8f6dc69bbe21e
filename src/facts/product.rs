//! Which products a payment's description names (SPEC §3.11).

use std::borrow::Cow;

use unicode_normalization::UnicodeNormalization;

use super::clean::{cleaned, is_letter_or_digit, push_folded};
use crate::rules::Rules;

/// SPEC §3.11: the codes of the products that a raw description names, in configuration order.
#[must_use]
pub fn match_products(description: &str, rules: &Rules) -> Vec<String> {
    let Some(text) = cleaned(description) else {
        return Vec::new();
    };
    let words = words(&text);
    let named = |phrase: &String| holds_phrase(&words, &self::words(phrase));
    let products = rules.products.iter().filter(|product| product.phrases.iter().any(named));
    products.map(|product| product.code.clone()).collect()
}

/// Letters and digits in one case, single spaces between them.
fn words(text: &str) -> Cow<'_, str> {
    if is_plain(text.as_bytes()) {
        return Cow::Borrowed(text);
    }
    if text.is_ascii() {
        return Cow::Owned(ascii_words(text));
    }
    // Folding may leave a composed letter apart (ǰ), so the normal form is made again after it.
    let mut folded = String::with_capacity(text.len());
    text.nfkc().for_each(|c| push_folded(&mut folded, c));
    let mut words = String::with_capacity(folded.len());
    for c in folded.nfkc() {
        if is_letter_or_digit(c) {
            words.push(c);
        } else if !words.is_empty() && !words.ends_with(' ') {
            words.push(' ');
        }
    }
    words.truncate(words.trim_end_matches(' ').len());
    Cow::Owned(words)
}

fn ascii_words(text: &str) -> String {
    let mut words = String::with_capacity(text.len());
    for byte in text.bytes() {
        if byte.is_ascii_alphanumeric() {
            words.push(char::from(byte.to_ascii_lowercase()));
        } else if !words.is_empty() && !words.ends_with(' ') {
            words.push(' ');
        }
    }
    words.truncate(words.trim_end_matches(' ').len());
    words
}

/// Whether the text already is what [`words`] makes of it; configured phrases mostly are.
fn is_plain(bytes: &[u8]) -> bool {
    bytes.iter().all(|byte| matches!(byte, b'a'..=b'z' | b'0'..=b'9' | b' '))
        && bytes.first() != Some(&b' ')
        && bytes.last() != Some(&b' ')
        && !bytes.windows(2).any(|pair| pair == b"  ")
}

/// Whether the phrase stands in the text between spaces or ends.
fn holds_phrase(text: &str, phrase: &str) -> bool {
    if phrase.is_empty() {
        return false;
    }
    let is_at = |start: usize| {
        text[start..]
            .strip_prefix(phrase)
            .is_some_and(|after| after.is_empty() || after.starts_with(' '))
    };
    // From the start of every word: occurrences may overlap.
    is_at(0) || text.match_indices(' ').any(|(space, _)| is_at(space + 1))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn products_are_named_as_spec_3_11_says() {
        let rules = Rules::default();
        let check = |raw: &str, expected: &[&str]| {
            assert_eq!(match_products(raw, &rules), expected, "{raw}");
        };
        for raw in [
            "Papers to Profits",
            "PAPERS-TO-PROFIT!",
            "payment: papers\u{a0}to\nprofits (batch 2)",
            "P2P",
            "[p2p]",
            "enroll_P2P_2025",
            "Ｐ２Ｐ",
            "pap\u{200b}ers to profits",
            "PAPERſ to profits",
        ] {
            check(raw, &["p2p"]);
        }
        for raw in ["Canva Ebook", "canva e-book", "CANVA"] {
            check(raw, &["canva"]);
        }
        check("P2P + Canva Ebook bundle", &["p2p", "canva"]);
        for raw in
            ["", "n/a", "canvas", "p2p2", "xp2p", "paper to profits", "p 2 p", "cañva", "p２p３"]
        {
            check(raw, &[]);
        }
        check("xcanva canva", &["canva"]);
        check("canva-ebook", &["canva"]);
        check("Papers to Profit's", &["p2p"]);
        check("p²p", &["p2p"]);
        check("Canva: the Papers to Profits ebook", &["p2p", "canva"]);
        check("papers to profitsx", &[]);
        check("papers two profits", &[]);
        check("p2p\u{301}", &[]);
    }

    #[test]
    fn configured_phrases_are_read_the_same_way() {
        let mut rules = Rules::default();
        rules.products[0].phrases = vec!["Straße & Co.".into(), "***".into()];
        assert_eq!(match_products("STRASSE   co", &rules), ["p2p"]);
        assert!(match_products("***", &rules).is_empty());
        rules.products[0].phrases = vec!["one two one".into()];
        assert_eq!(match_products("none two one two one", &rules), ["p2p"]);
        assert!(match_products("none two one", &rules).is_empty());
    }

    proptest! {
        #[test]
        fn any_text_has_stable_words(raw in any::<String>()) {
            let once = words(&raw).into_owned();
            prop_assert_eq!(&words(&once), &once);
        }
    }
}
