//! Phone numbers as E.164 (SPEC §3.5).

use std::borrow::Cow;

use phonenumber::{Mode, country};

use super::clean::clean;

/// Longest text that is tried as one number, in bytes; what is longer is no phone number, only work.
const NUMBER_BYTES: usize = 250;

/// SPEC §3.5: the first valid number of the text, and whether there should have been one and is not
/// (note `invalid_phone`).
#[must_use]
pub fn phone(raw: &str) -> (Option<String>, bool) {
    let Some(text) = clean(raw) else {
        return (None, false);
    };
    let found = text.split(['/', ';', ',', '|']).find_map(e164);
    let invalid = found.is_none();
    (found, invalid)
}

fn e164(part: &str) -> Option<String> {
    let part = with_ascii_digits(part.trim());
    if part.len() > NUMBER_BYTES || !part.bytes().any(|b| b.is_ascii_digit()) {
        return None;
    }
    // The space makes the parser read the text as people write it. Without one it first tries RFC 3966,
    // where `+63917-123-4567` has the country code 63917.
    let number = phonenumber::parse(Some(country::PH), format!(" {part}")).ok()?;
    number.is_valid().then(|| number.format().mode(Mode::E164).to_string())
}

/// The parser knows ASCII digits only; keyboards also give full-width and Arabic ones.
fn with_ascii_digits(part: &str) -> Cow<'_, str> {
    if part.is_ascii() {
        return Cow::Borrowed(part);
    }
    let plain = |c: char| match c {
        '０'..='９' => digit(u32::from(c) - 0xFF10),
        '\u{660}'..='\u{669}' => digit(u32::from(c) - 0x660),
        '\u{6F0}'..='\u{6F9}' => digit(u32::from(c) - 0x6F0),
        '＋' => '+',
        other => other,
    };
    Cow::Owned(part.chars().map(plain).collect())
}

fn digit(value: u32) -> char {
    char::from_digit(value, 10).unwrap_or('0')
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn numbers_are_read_as_spec_3_5_says() {
        let mobile = Some("+639171234567");
        let check = |raw: &str, expected: Option<&str>| {
            let (number, invalid) = phone(raw);
            assert_eq!(number.as_deref(), expected, "{raw}");
            assert_eq!(invalid, expected.is_none(), "{raw}");
        };
        for raw in [
            "09171234567",
            "9171234567",
            "639171234567",
            "+639171234567",
            "+63 917 123 4567",
            "+63917-123-4567",
            "+63.917.123.4567",
            "+63 (0)917 123 4567",
            "+6309171234567",
            "(0917) 123-4567",
            "0917.123.4567",
            "0063 917 123 4567",
            "tel:+63-917-123-4567",
            "０９１７１２３４５６７",
            "\u{200e}+63\u{a0}917\u{a0}123\u{a0}4567",
            "none / 09171234567",
            "0917 123 4567 ext. 12",
            "123; 0917 123 4567, 0918 765 4321",
        ] {
            check(raw, mobile);
        }
        check("(02) 8123 4567", Some("+63281234567"));
        check("+1 212 555 0123 | 09171234567", Some("+12125550123"));
        check("+14155552671", Some("+14155552671"));
        for raw in ["911", "12345", "abc", "9.17123E+09", "0", "+", "+63", "1110@example.com"] {
            check(raw, None);
        }
        check("+999 123 456 789", None);
        check("00447911123456", Some("+447911123456"));
        for raw in ["81234567", "0917123456", "091712345678", "6.39171E+11", "9171234567.0"] {
            check(raw, None);
        }
    }

    #[test]
    fn nothing_is_not_invalid() {
        for raw in ["", "  ", "n/a", "null", "-", "\u{200b}"] {
            assert_eq!(phone(raw), (None, false), "{raw}");
        }
    }

    proptest! {
        #[test]
        fn no_text_panics(raw in any::<String>()) {
            let _ = phone(&raw);
        }

        #[test]
        fn near_numbers_do_not_panic_and_are_stable(raw in "[+0-9(). \\-x#*;=a-fA-FtTeEl:٣９]{0,24}") {
            if let (Some(number), _) = phone(&raw) {
                prop_assert_eq!(phone(&number), (Some(number), false));
            }
        }
    }
}
