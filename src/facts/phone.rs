//! Phone numbers as E.164 (SPEC §3.5).

use std::sync::LazyLock;

use rlibphonenumber::{PHONE_NUMBER_UTIL, PhoneNumberFormat, Region};

use super::clean::cleaned;

/// SPEC §3.5: the first valid number of the text, and whether there should have been one and is not
/// (note `invalid_phone`).
#[must_use]
pub fn phone(raw: &str) -> (Option<String>, bool) {
    let Some(text) = cleaned(raw) else {
        return (None, false);
    };
    let found =
        text.split(['/', ';', ',', '|']).find_map(|part| mobile(part).or_else(|| e164(part)));
    let invalid = found.is_none();
    (found, invalid)
}

/// Digits of a Philippine mobile number without any prefix: `917 123 4567`.
const MOBILE_DIGITS: usize = 10;

/// Which two digits after the 9 make a valid mobile number, whatever the seven that follow: asked of the
/// library once for each.
static MOBILE_PREFIXES: LazyLock<[bool; 100]> = LazyLock::new(|| {
    std::array::from_fn(|prefix| e164(&format!("+639{prefix:02}1234567")).is_some())
});

/// The most common numbers without asking the library: a valid Philippine mobile number behind `+63`,
/// `63`, `0` or nothing, its digits in groups or not.
fn mobile(part: &str) -> Option<String> {
    let part = part.trim_matches(' ');
    let (plus, written) = match part.strip_prefix('+') {
        Some(rest) => (true, rest),
        None => (false, part),
    };
    let mut digits = [0; MOBILE_DIGITS + 2];
    let mut count = 0;
    let mut separated = true;
    for byte in written.bytes() {
        match byte {
            b'0'..=b'9' => {
                *digits.get_mut(count)? = byte;
                count += 1;
                separated = false;
            }
            b' ' | b'-' if !separated => separated = true,
            _ => return None,
        }
    }
    if separated {
        return None;
    }
    let national = match (plus, digits.get(..count)?) {
        (true | false, [b'6', b'3', national @ ..]) | (false, [b'0', national @ ..]) => national,
        (false, national) => national,
        (true, _) => return None,
    };
    if national.len() != MOBILE_DIGITS || national[0] != b'9' {
        return None;
    }
    let prefix = usize::from(national[1] - b'0') * 10 + usize::from(national[2] - b'0');
    let number = std::str::from_utf8(national).ok().filter(|_| MOBILE_PREFIXES[prefix])?;
    Some(format!("+63{number}"))
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

    #[test]
    fn common_numbers_are_read_without_the_library() {
        for raw in ["+639171234567", "09171234567", "639171234567", "0917-123 4567", "9171234567"] {
            assert_eq!(mobile(raw).as_deref(), Some("+639171234567"), "{raw}");
        }
        for raw in
            ["+09171234567", "+9171234567", "0917  1234567", "-09171234567", "0917123456", ""]
        {
            assert_eq!(mobile(raw), None, "{raw}");
        }
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(2_000))]

        #[test]
        fn the_short_way_says_what_the_library_says(
            prefix in "(\\+63|63|0|\\+?0063|\\+630|)[ -]?",
            digits in "9[0-9]{2}[ -]?[0-9]{3}[ -]?[0-9]{4}",
        ) {
            let raw = format!("{prefix}{digits}");
            if let Some(number) = mobile(&raw) {
                prop_assert_eq!(e164(&raw), Some(number), "{}", raw);
            }
        }

        #[test]
        fn near_numbers_are_read_alike(raw in "[+]?[0639]{1,4}[0-9 -]{6,12}") {
            if let Some(number) = mobile(&raw) {
                prop_assert_eq!(e164(&raw), Some(number), "{}", raw);
            }
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
