//! Text without its damage (SPEC §3.1), and the character classes that the other rules share.

use std::borrow::Cow;
use std::fmt::Write as _;

use unicode_normalization::{UnicodeNormalization, is_nfc, is_nfkc};
use unicode_properties::{GeneralCategory, GeneralCategoryGroup, UnicodeGeneralCategory};

/// Words that stand for nothing in any field (SPEC §3.1).
const NULL_WORDS: [&str; 9] = ["n/a", "na", "null", "none", "nil", "undefined", "-", "--", "."];

/// Bytes of the longest of them.
const LONGEST_NULL_WORD: usize = "undefined".len();

/// Words that stand for nothing in a name: Na, Nil and Null are people (SPEC §3.1).
const NULL_NAMES: [&str; 5] = ["n/a", "none", "-", "--", "."];

/// SPEC §3.1: the text without control and format characters, in NFC, with single spaces; `None` where
/// nothing is left, or a word that means nothing.
#[must_use]
pub fn clean(raw: &str) -> Option<String> {
    cleaned(raw).map(Cow::into_owned)
}

/// [`clean`], copied only where cleaning changes something.
pub(super) fn cleaned(raw: &str) -> Option<Cow<'_, str>> {
    not_null(tidy(raw), &NULL_WORDS)
}

/// [`clean`] with the short list of words that mean nothing, for names.
pub(super) fn clean_name(raw: &str) -> Option<Cow<'_, str>> {
    not_null(tidy(raw), &NULL_NAMES)
}

/// [`clean`] with NFKC in place of NFC, for the matching key of an e-mail (SPEC §3.2).
pub(super) fn clean_compatible(raw: &str) -> Option<Cow<'_, str>> {
    let text = without_controls(raw);
    let text = if is_nfkc(&text) { text } else { Cow::Owned(text.nfkc().collect()) };
    not_null(single_spaced(text), &NULL_WORDS)
}

fn not_null<'t>(text: Cow<'t, str>, null_words: &[&str]) -> Option<Cow<'t, str>> {
    let null = match text.len() {
        0 => true,
        1..=LONGEST_NULL_WORD => null_words.iter().any(|word| text.eq_ignore_ascii_case(word)),
        _ => false,
    };
    (!null).then_some(text)
}

fn tidy(raw: &str) -> Cow<'_, str> {
    if is_tidy_ascii(raw) {
        return Cow::Borrowed(raw);
    }
    let text = without_controls(raw);
    let text = if is_nfc(&text) { text } else { Cow::Owned(text.nfc().collect()) };
    single_spaced(text)
}

/// Most values are plain ASCII without a space to remove; they are spared the Unicode tables.
fn is_tidy_ascii(raw: &str) -> bool {
    // A space may not follow a space, and the text may not begin or end with one.
    let mut after_space = true;
    for byte in raw.bytes() {
        if !matches!(byte, b' '..=b'~') || (byte == b' ' && after_space) {
            return false;
        }
        after_space = byte == b' ';
    }
    !after_space || raw.is_empty()
}

/// White space becomes a space; every other control (Cc) and format (Cf) character goes.
fn without_controls(raw: &str) -> Cow<'_, str> {
    if raw.bytes().all(|byte| matches!(byte, b' '..=b'~')) {
        return Cow::Borrowed(raw);
    }
    let kept = raw.chars().filter_map(|c| match c {
        c if c.is_whitespace() => Some(' '),
        c if c.is_control() || is_format(c) => None,
        c => Some(c),
    });
    Cow::Owned(kept.collect())
}

/// Normalisation may bring spaces of its own, so runs are joined after it.
fn single_spaced(text: Cow<'_, str>) -> Cow<'_, str> {
    let bytes = text.as_bytes();
    let single = bytes.first() != Some(&b' ')
        && bytes.last() != Some(&b' ')
        && !bytes.windows(2).any(|pair| pair == b"  ");
    if single {
        return text;
    }
    let mut joined = String::with_capacity(text.len());
    for word in text.split(' ').filter(|word| !word.is_empty()) {
        if !joined.is_empty() {
            joined.push(' ');
        }
        joined.push_str(word);
    }
    Cow::Owned(joined)
}

/// A format character (Cf): invisible, such as a zero-width space or a byte-order mark.
pub(super) fn is_format(c: char) -> bool {
    !c.is_ascii() && c.general_category() == GeneralCategory::Format
}

/// A letter (general category L), in any script.
pub(super) fn is_letter(c: char) -> bool {
    if c.is_ascii() {
        return c.is_ascii_alphabetic();
    }
    c.general_category_group() == GeneralCategoryGroup::Letter
}

/// A letter (L) or a decimal digit (Nd), in any script.
pub(super) fn is_letter_or_digit(c: char) -> bool {
    if c.is_ascii() {
        return c.is_ascii_alphanumeric();
    }
    is_letter(c) || c.general_category() == GeneralCategory::DecimalNumber
}

/// Appends the full case folding of a character: what remains of it when case does not matter, so that
/// `ß` and `SS`, `ς` and `Σ`, `ſ` and `S` agree. It is found as lower(upper(lower(c))), which is the
/// Unicode folding but for the dotless ı, which upper case would make an i.
pub(super) fn push_folded(folded: &mut String, c: char) {
    if c.is_ascii() {
        folded.push(c.to_ascii_lowercase());
    } else if c == 'ı' {
        folded.push(c);
    } else {
        let lower = c.to_lowercase().flat_map(char::to_uppercase).flat_map(char::to_lowercase);
        folded.extend(lower);
    }
}

/// The text with every character that does not show written as its code point, `<U+202E>`, so that a
/// reviewer sees what is there: controls, format characters, spaces other than the common one, and
/// blank letters and marks.
#[must_use]
pub fn visible(text: &str) -> String {
    let mut shown = String::with_capacity(text.len());
    for c in text.chars() {
        if is_hidden(c) {
            // Writing to a string cannot fail.
            let _ = write!(shown, "<U+{:04X}>", u32::from(c));
        } else {
            shown.push(c);
        }
    }
    shown
}

fn is_hidden(c: char) -> bool {
    match c {
        ' '..='~' => false,
        // Combining grapheme joiner, Hangul fillers, blank Khmer vowels, variation selectors.
        '\u{34F}' | '\u{115F}' | '\u{1160}' | '\u{17B4}' | '\u{17B5}' | '\u{3164}' | '\u{FFA0}' => {
            true
        }
        '\u{180B}'..='\u{180F}' | '\u{FE00}'..='\u{FE0F}' | '\u{E0100}'..='\u{E01EF}' => true,
        c => {
            c.is_whitespace()
                || matches!(
                    c.general_category(),
                    GeneralCategory::Control
                        | GeneralCategory::Format
                        | GeneralCategory::PrivateUse
                        | GeneralCategory::Unassigned
                )
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn text_is_cleaned_as_spec_3_1_says() {
        let check = |raw: &str, expected: Option<&str>| {
            assert_eq!(clean(raw).as_deref(), expected, "{raw:?}");
        };
        check("Ana", Some("Ana"));
        check("  Ana \t\r\n Cruz ", Some("Ana Cruz"));
        check("Ana\u{a0}\u{3000}Cruz\u{85}", Some("Ana Cruz"));
        check("Ana\u{2028}Cruz\u{202f}", Some("Ana Cruz"));
        check("A\u{0}n\u{7f}a\u{9f}", Some("Ana"));
        check("A\u{1f}na", Some("Ana"));
        check("\u{feff}A\u{200b}n\u{ad}a\u{202e}\u{e0041}", Some("Ana"));
        check("An \u{200b} a", Some("An a"));
        check("pen\u{303}a", Some("peña"));
        check("n\u{200b}\u{303}", Some("ñ"));
        check("ﬁ＠", Some("ﬁ＠"));
        for null in ["", " ", "\u{200b}", "n/a", "N/A", "NA", "Null", "NONE", "nil", "undefined"] {
            check(null, None);
        }
        for null in ["-", "--", ".", " - ", "\u{feff}n\u{200b}/a\t"] {
            check(null, None);
        }
        for text in ["---", "..", "n.a.", "0", "none.", "n / a", "nul", "–"] {
            check(text, Some(text));
        }
    }

    #[test]
    fn na_nil_and_null_are_names_spec_3_1() {
        for name in ["Na", "Nil", "Null", "undefined"] {
            assert_eq!(clean_name(name).as_deref(), Some(name));
        }
        for null in ["", "N/A", "None", "-", "--", "."] {
            assert_eq!(clean_name(null), None, "{null}");
        }
    }

    #[test]
    fn compatible_cleaning_makes_full_width_plain() {
        assert_eq!(clean_compatible("ａ＠ｂ．ph").as_deref(), Some("a@b.ph"));
        assert_eq!(clean_compatible("ＮＵＬＬ"), None);
        assert_eq!(clean_compatible("\u{a8}").as_deref(), Some("\u{308}"));
    }

    #[test]
    fn invisible_characters_are_shown() {
        assert_eq!(visible("a\u{202e}b\tc\u{a0}d e"), "a<U+202E>b<U+0009>c<U+00A0>d e");
        assert_eq!(
            visible("\u{e0041}\u{fe0f}\u{2028}ñ\u{3164}"),
            "<U+E0041><U+FE0F><U+2028>ñ<U+3164>"
        );
    }

    #[test]
    fn folding_forgets_case_only() {
        let fold = |text: &str| {
            let mut folded = String::new();
            text.chars().for_each(|c| push_folded(&mut folded, c));
            folded
        };
        for (a, b) in [("STRASSE", "straße"), ("ΣΟΦΟΣ", "σοφος"), ("ſ", "S"), ("\u{1e9e}", "ss")]
        {
            assert_eq!(fold(a), fold(b), "{a} {b}");
        }
        assert_ne!(fold("ı"), fold("i"));
    }

    proptest! {
        #[test]
        fn cleaning_twice_changes_nothing(raw in any::<String>()) {
            if let Some(once) = clean(&raw) {
                prop_assert_eq!(clean(&once), Some(once.clone()));
                prop_assert!(!once.chars().any(|c| c.is_control() || is_format(c)));
            }
            if let Some(once) = clean_compatible(&raw) {
                let twice = clean_compatible(&once);
                prop_assert_eq!(twice.as_deref(), Some(once.as_ref()));
            }
        }

        #[test]
        fn nothing_shown_is_hidden(raw in any::<String>()) {
            prop_assert!(!visible(&raw).chars().any(is_hidden));
        }
    }
}
