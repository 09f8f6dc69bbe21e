//! The type that a value looks like.

use std::sync::LazyLock;

use serde::Serialize;
use serde::de::IgnoredAny;
use uuid::Uuid;

use crate::facts::{clean, email_key, parse_amount, parse_date, parse_timestamp};
use crate::import::numbers::{dotted_date, with_point};
use crate::import::record::Raw;
use crate::rules::Rules;

/// What a value looks like.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Guess {
    /// `true` or `false`.
    Boolean,
    /// 0 or 1, which may be one.
    ZeroOrOne,
    /// A whole number.
    Integer,
    /// A number with a fraction.
    Decimal,
    /// Seconds or milliseconds since 1970.
    Epoch,
    /// A date with a time.
    Timestamp,
    /// A date.
    Date,
    /// A UUID.
    Uuid,
    /// An email address.
    Email,
    /// A number within a text.
    NumberText,
    /// A number within a text, with a comma before its fraction.
    CommaNumber,
    /// A word for a boolean.
    BooleanText,
    /// JSON within a text.
    JsonText,
    /// A text that begins as JSON and is none.
    BrokenJsonText,
    /// An array.
    List,
    /// An array of objects.
    ListOfObjects,
    /// An object.
    Object,
    /// Another text.
    Text,
}

impl Guess {
    /// The words of a report.
    #[must_use]
    pub fn words(self) -> &'static str {
        match self {
            Self::Boolean => "boolean",
            Self::ZeroOrOne => "0 or 1",
            Self::Integer => "integer",
            Self::Decimal => "decimal",
            Self::Epoch => "epoch",
            Self::Timestamp => "timestamp",
            Self::Date => "date",
            Self::Uuid => "uuid",
            Self::Email => "email",
            Self::NumberText => "number as text",
            Self::CommaNumber => "number with a decimal comma",
            Self::BooleanText => "boolean as text",
            Self::JsonText => "JSON as text",
            Self::BrokenJsonText => "broken JSON as text",
            Self::List => "list",
            Self::ListOfObjects => "list of objects",
            Self::Object => "object",
            Self::Text => "text",
        }
    }
}

/// What a value looks like; `None` for no value.
pub(super) fn guess(raw: &Raw<'_>) -> Option<Guess> {
    match raw {
        Raw::Null => None,
        Raw::Bool(_) => Some(Guess::Boolean),
        Raw::Number(text) => Some(number(text)),
        Raw::Json(json) if json.starts_with('{') => Some(Guess::Object),
        Raw::Json(json) => {
            let inner = json.trim_start_matches(['[', ' ', '\n', '\r', '\t']);
            Some(if inner.starts_with('{') { Guess::ListOfObjects } else { Guess::List })
        }
        Raw::Text(text) => clean(text).map(|text| of_text(&text)),
    }
}

fn number(text: &str) -> Guess {
    let digits = text.bytes().all(|byte| byte.is_ascii_digit());
    match text {
        "0" | "1" => Guess::ZeroOrOne,
        _ if digits && (text.len() == 10 || text.len() == 13) => Guess::Epoch,
        _ if digits
            || text.strip_prefix('-').is_some_and(|t| t.bytes().all(|b| b.is_ascii_digit())) =>
        {
            Guess::Integer
        }
        _ => Guess::Decimal,
    }
}

fn of_text(text: &str) -> Guess {
    /// Made once: an export has millions of texts.
    static RULES: LazyLock<Rules> = LazyLock::new(Rules::default);
    if dotted_date(text).is_some() {
        return if text.contains(':') { Guess::Timestamp } else { Guess::Date };
    }
    if text.starts_with(['{', '[']) {
        let whole = serde_json::from_str::<IgnoredAny>(text).is_ok();
        return if whole { Guess::JsonText } else { Guess::BrokenJsonText };
    }
    if text.parse::<Uuid>().is_ok() {
        return Guess::Uuid;
    }
    if text.contains('@') && email_key(text).0.is_ok() {
        return Guess::Email;
    }
    if matches!(text.to_lowercase().as_str(), "true" | "false" | "yes" | "no") {
        return Guess::BooleanText;
    }
    if text.bytes().all(|byte| byte.is_ascii_digit()) && !matches!(text.len(), 10 | 13) {
        return Guess::NumberText;
    }
    let with_time = text.contains(':') || text.bytes().all(|byte| byte.is_ascii_digit());
    if with_time && parse_timestamp(text, None, &RULES).0.is_some() {
        return Guess::Timestamp;
    }
    if parse_date(text, &RULES).is_some() {
        return if text.contains(':') { Guess::Timestamp } else { Guess::Date };
    }
    if parse_amount(text, 0).is_some() {
        return Guess::NumberText;
    }
    let is_number = with_point(text).is_some_and(|text| parse_amount(&text, 0).is_some());
    if is_number { Guess::CommaNumber } else { Guess::Text }
}
