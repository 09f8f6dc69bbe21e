//! From a value of a file to the text that PostgreSQL reads as a column's type. A value that does not fit is reported by
//! a reason without the value (P14).

use std::borrow::Cow;

use serde::de::IgnoredAny;
use serde_json::value::RawValue;
use uuid::Uuid;

use super::column::{Column, From, NamePart, Normal, OnInvalid};
use super::numbers::{integer, number, pointed, undotted};
use super::record::{Raw, View, text_of};
use crate::facts::{array_texts, clean, email_key, parse_date, parse_timestamp, phone, split_name};
use crate::rules::Rules;

/// What a column holds, as far as reading it differs.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Kind {
    /// `uuid`.
    Uuid,
    /// `boolean`.
    Bool,
    /// `timestamptz`.
    Instant,
    /// `timestamp`: the local time in the plan's zone.
    Local,
    /// `date`.
    Date,
    /// Whole numbers of this many bits.
    Integer(u32),
    /// `numeric`.
    Numeric,
    /// `real`, `double precision`.
    Float,
    /// `text`, `varchar`, `char`: with the longest that it holds.
    Text(Option<usize>),
    /// `json`, `jsonb`.
    Json,
    /// Arrays.
    Array,
    /// An enum, with its labels.
    Enum(Vec<String>),
    /// Everything else, which the server reads.
    Other,
}

/// Why a value cannot be read.
pub type Reason = &'static str;

const NUL: Reason = "holds a character that PostgreSQL does not store";

/// The text of a column's value, and whether it was replaced because it cannot be read.
///
/// # Errors
/// The reason where the record is to be rejected.
pub fn value(
    column: &Column,
    kind: &Kind,
    view: &View<'_>,
    rules: &Rules,
) -> Result<(Option<String>, bool), Reason> {
    let read = taken(column, view).and_then(|raw| {
        let raw = normalised(column, raw)?;
        let raw = mapped(column, raw)?;
        converted(&raw, kind, column, rules)
    });
    let default = || match &column.default {
        Some(text) => converted(&Raw::Text(Cow::Borrowed(text)), kind, column, rules),
        None => Ok(None),
    };
    match (read, column.invalid) {
        (Ok(Some(text)), _) => Ok((Some(text), false)),
        (Ok(None), _) => Ok((default()?, false)),
        (Err(reason), OnInvalid::Reject) => Err(reason),
        (Err(_), OnInvalid::Replace) => Ok((default()?, true)),
    }
}

/// What stands at the column's paths.
fn taken<'r>(column: &'r Column, view: &View<'r>) -> Result<Raw<'r>, Reason> {
    if let Some(path) = &column.when
        && !matches!(boolean(&view.at(path))?, Some(true))
    {
        return Ok(Raw::Null);
    }
    Ok(match &column.from {
        From::Constant(text) => Raw::Text(Cow::Borrowed(text)),
        From::First(paths) => {
            let found = paths.iter().map(|path| view.at(path)).find(|raw| !is_nothing(raw, column));
            found.unwrap_or(Raw::Null)
        }
        From::Joined(paths, separator) => {
            let values: Vec<Raw<'r>> = paths.iter().map(|path| view.at(path)).collect();
            let texts = values.iter().filter_map(|raw| Some(raw.text()?.trim().to_owned()));
            let texts: Vec<String> = texts.filter(|text| !text.is_empty()).collect();
            if texts.is_empty() { Raw::Null } else { Raw::Text(texts.join(separator).into()) }
        }
    })
}

fn is_nothing(raw: &Raw<'_>, column: &Column) -> bool {
    match raw {
        Raw::Null => true,
        Raw::Text(text) if column.clean => clean(text).is_none(),
        Raw::Text(text) if column.trim => text.trim().is_empty(),
        _ => false,
    }
}

fn normalised<'r>(column: &Column, raw: Raw<'r>) -> Result<Raw<'r>, Reason> {
    // A number has no spaces and no case, and stays one.
    let plain = !column.trim && !column.clean && !column.lower || matches!(raw, Raw::Number(_));
    if plain && column.name_part.is_none() && column.normal.is_none() {
        return Ok(raw);
    }
    let Some(text) = raw.text() else { return Ok(Raw::Null) };
    let text = if column.clean {
        clean(&text)
    } else if column.trim {
        Some(text.trim().to_owned()).filter(|text| !text.is_empty())
    } else {
        Some(text.into_owned())
    };
    let text = match column.name_part {
        None => text,
        Some(part) => text.and_then(|text| {
            let (first, last) = split_name(&text);
            if part == NamePart::First { first } else { last }
        }),
    };
    let text = match (column.normal, text) {
        (Some(Normal::Email), Some(text)) => email(&text)?,
        (Some(Normal::Phone), Some(text)) => match phone(&text) {
            (_, true) => return Err("not a phone number"),
            (phone, _) => phone,
        },
        (_, text) => text,
    };
    let text = if column.lower { text.map(|text| text.to_lowercase()) } else { text };
    Ok(text.map_or(Raw::Null, |text| Raw::Text(Cow::Owned(text))))
}

fn email(text: &str) -> Result<Option<String>, Reason> {
    use crate::facts::EmailReason;
    match email_key(text).0 {
        Ok(key) => Ok(Some(key.as_str().to_owned())),
        Err(EmailReason::Missing) => Ok(None),
        Err(_) => Err("not an email address"),
    }
}

fn mapped<'r>(column: &Column, raw: Raw<'r>) -> Result<Raw<'r>, Reason> {
    if column.map.is_empty() {
        return Ok(raw);
    }
    let replaced = {
        let Some(text) = raw.text() else { return Ok(Raw::Null) };
        column.map.get(text.as_ref()).or_else(|| column.map.get("*")).cloned()
    };
    match replaced {
        Some(text) if text.is_empty() => Ok(Raw::Null),
        Some(text) => Ok(Raw::Text(Cow::Owned(text))),
        None => Err("not among the texts that the plan maps"),
    }
}

/// The value as its kind; `None` for NULL.
fn converted(
    raw: &Raw<'_>,
    kind: &Kind,
    column: &Column,
    rules: &Rules,
) -> Result<Option<String>, Reason> {
    let plain = match kind {
        Kind::Text(_) | Kind::Enum(_) | Kind::Json | Kind::Array => raw.text(),
        // What means nothing in any field is NULL in a field that is no text.
        _ => raw.text().filter(|text| clean(text).is_some()),
    };
    let Some(text) = plain else { return Ok(None) };
    if text.contains('\0') {
        return Err(NUL);
    }
    // Only texts are written as people of a country write numbers.
    let number_text =
        |text| if matches!(raw, Raw::Number(_)) { text } else { pointed(text, column) };
    match kind {
        Kind::Uuid => {
            text.trim().parse::<Uuid>().map(|id| Some(id.to_string())).or(Err("not a uuid"))
        }
        Kind::Bool => Ok(boolean(raw)?.map(|flag| flag.to_string())),
        Kind::Instant | Kind::Local => instant(&undotted(&text), kind, column, rules).map(Some),
        Kind::Date => {
            let date = in_zone(column, rules, |rules| parse_date(&undotted(&text), rules));
            date.map(|date| Some(date.to_string())).ok_or("not a date")
        }
        Kind::Integer(bits) => integer(&number_text(text), *bits).map(Some),
        Kind::Numeric | Kind::Float => number(&number_text(text), column).map(Some),
        Kind::Text(longest) => match longest {
            Some(longest) if text.chars().count() > *longest => Err("longer than the column"),
            _ => Ok(Some(text.into_owned())),
        },
        Kind::Json => json(raw),
        Kind::Array => array(raw, &text, column).map(Some),
        Kind::Enum(labels) if labels.iter().any(|label| *label == text) => {
            Ok(Some(text.into_owned()))
        }
        Kind::Enum(_) if text.trim().is_empty() => Ok(None),
        Kind::Enum(_) => Err("not a value of the column's type"),
        Kind::Other => Ok(Some(text.into_owned())),
    }
}

fn in_zone<T>(column: &Column, rules: &Rules, read: impl FnOnce(&Rules) -> T) -> T {
    match &column.zone {
        Some(zone) => read(&Rules { zone: zone.clone(), ..rules.clone() }),
        None => read(rules),
    }
}

fn instant(text: &str, kind: &Kind, column: &Column, rules: &Rules) -> Result<String, Reason> {
    in_zone(column, rules, |rules| {
        let (instant, _) = parse_timestamp(text, None, rules);
        let instant = instant.ok_or("not a timestamp")?;
        Ok(match kind {
            Kind::Local => rules.zone.to_datetime(instant).to_string(),
            _ => instant.to_string(),
        })
    })
}

/// Booleans, 0 and 1, and the words that people write for them.
fn boolean(raw: &Raw<'_>) -> Result<Option<bool>, Reason> {
    let text = match raw {
        Raw::Bool(flag) => return Ok(Some(*flag)),
        Raw::Null => return Ok(None),
        Raw::Number(text) => match text.split_once('.') {
            // 1.0 is 1; 10 is neither 0 nor 1.
            Some((whole, fraction)) if fraction.bytes().all(|byte| byte == b'0') => whole,
            _ => text,
        },
        Raw::Text(text) => text,
        Raw::Json(_) => return Err("not a boolean"),
    };
    let Some(text) = clean(text) else { return Ok(None) };
    match text.to_lowercase().as_str() {
        "1" | "true" | "t" | "yes" | "y" | "on" => Ok(Some(true)),
        "0" | "false" | "f" | "no" | "n" | "off" => Ok(Some(false)),
        _ => Err("not a boolean"),
    }
}

/// JSON as it is; of a text, the JSON that it holds.
fn json(raw: &Raw<'_>) -> Result<Option<String>, Reason> {
    match raw {
        Raw::Null => Ok(None),
        Raw::Text(text) if text.trim().is_empty() => Ok(None),
        Raw::Text(text) => match serde_json::from_str::<IgnoredAny>(text) {
            Ok(_) if text.trim() == "null" => Ok(None),
            Ok(_) if has_nul(text) => Err(NUL),
            Ok(_) => Ok(Some(text.clone().into_owned())),
            Err(_) => Err("broken JSON"),
        },
        Raw::Json(text) if has_nul(text) => Err(NUL),
        raw => Ok(raw.text().map(Cow::into_owned)),
    }
}

/// Whether a text of JSON holds the escape of the character 0.
fn has_nul(json: &str) -> bool {
    let mut rest = json;
    while let Some(at) = rest.find("\\u0000") {
        let before = rest.get(..at).unwrap_or_default();
        // Behind an even number of backslashes it is one itself.
        if before.bytes().rev().take_while(|byte| *byte == b'\\').count() % 2 == 0 {
            return true;
        }
        rest = rest.get(at + 1..).unwrap_or_default();
    }
    false
}

/// An array literal of a JSON array, of a text that holds one, of a literal, or of a text that the plan splits.
fn array(raw: &Raw<'_>, text: &str, column: &Column) -> Result<String, Reason> {
    let trimmed = text.trim();
    if matches!(raw, Raw::Json(_)) || trimmed.starts_with('[') {
        let elements: Vec<&RawValue> = serde_json::from_str(trimmed).or(Err("broken JSON"))?;
        let texts: Vec<Option<String>> =
            elements.iter().map(|element| text_of(element.get())).collect();
        if texts.iter().flatten().any(|text| text.contains('\0')) {
            return Err(NUL);
        }
        return Ok(literal(texts.into_iter()));
    }
    if trimmed.starts_with('{') {
        let texts = array_texts(trimmed).ok_or("not an array")?;
        return Ok(literal(texts.into_iter().map(Some)));
    }
    let texts: Vec<&str> = match &column.split {
        Some(separator) => trimmed.split(separator.as_str()).map(str::trim).collect(),
        None => vec![trimmed],
    };
    Ok(literal(texts.into_iter().filter(|text| !text.is_empty()).map(|text| Some(text.to_owned()))))
}

fn literal(texts: impl Iterator<Item = Option<String>>) -> String {
    let quoted = texts.map(|text| match text {
        None => "NULL".to_owned(),
        Some(text) => format!("\"{}\"", text.replace('\\', "\\\\").replace('"', "\\\"")),
    });
    format!("{{{}}}", quoted.collect::<Vec<_>>().join(","))
}

#[cfg(test)]
#[path = "convert_tests.rs"]
mod tests;
