//! Text as people may look at it (SPEC §3.1).

use unicode_properties::{GeneralCategory, UnicodeGeneralCategory};

/// The text with every control and format character written as `<U+202E>`, for evidence.
#[must_use]
pub fn visible(text: &str) -> String {
    let mut shown = String::with_capacity(text.len());
    for character in text.chars() {
        match character.general_category() {
            GeneralCategory::Control | GeneralCategory::Format => {
                shown.push_str(&format!("<U+{:04X}>", u32::from(character)));
            }
            _ => shown.push(character),
        }
    }
    shown
}
