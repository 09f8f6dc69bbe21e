//! Phone numbers as E.164 (SPEC §3.5).

use rlibphonenumber::{PHONE_NUMBER_UTIL, PhoneNumberFormat, Region};

use super::clean::clean;

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
    let number = PHONE_NUMBER_UTIL.parse(part, Some(Region::PH)).ok()?;
    let valid = PHONE_NUMBER_UTIL.is_valid_number(&number);
    valid.then(|| PHONE_NUMBER_UTIL.format(&number, PhoneNumberFormat::E164).into_owned())
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
        for raw in ["0917123t567", "(02) 81253-4567", "035 123 45367", "+10 650-253-0000"] {
            check(raw, None);
        }
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
