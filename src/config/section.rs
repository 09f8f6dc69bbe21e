//! Reading one TOML table: every problem is collected, and unknown keys are reported.

use toml::{Table, Value};

/// What is wrong with a configuration, in the order it was found. An operator who corrects a file wants to
/// see all of it at once.
#[derive(Debug, Default)]
pub(crate) struct Problems {
    /// One a line.
    pub(crate) reported: Vec<String>,
    /// Paths of values that are not what the operator meant, so that no more is to be said of them.
    spoilt: Vec<String>,
}

impl Problems {
    /// Adds a problem of the value at `path`. The text must not hold the value of a secret.
    pub(crate) fn add(&mut self, path: &str, problem: impl AsRef<str>) {
        if !self.spoilt.iter().any(|spoilt| spoilt == path) {
            self.reported.push(format!("{path}: {}", problem.as_ref()));
        }
    }

    /// Adds a problem that leaves the value without a meaning: nothing else is reported of it.
    pub(crate) fn spoil(&mut self, path: &str, problem: impl AsRef<str>) {
        self.reported.push(format!("{path}: {}", problem.as_ref()));
        self.spoilt.push(path.to_owned());
    }
}

/// A table of the file, which may be absent.
pub(crate) struct Section<'t> {
    path: String,
    table: Option<&'t Table>,
    known: Vec<&'static str>,
}

impl<'t> Section<'t> {
    /// The whole file.
    pub(crate) fn root(table: &'t Table) -> Self {
        Self { path: String::new(), table: Some(table), known: Vec::new() }
    }

    /// A table that is an element of a list, such as `rules.products[2]`.
    pub(crate) fn element(path: String, table: &'t Table) -> Self {
        Self { path, table: Some(table), known: Vec::new() }
    }

    /// The path of a key of this table, such as `source.xendit.key`.
    pub(crate) fn path_of(&self, key: &str) -> String {
        let key = if is_bare(key) { key.to_owned() } else { format!("{key:?}") };
        if self.path.is_empty() { key } else { format!("{}.{key}", self.path) }
    }

    /// The path of this table.
    pub(crate) fn path(&self) -> &str {
        &self.path
    }

    /// The value of a key, which is known from now on.
    pub(crate) fn value(&mut self, key: &'static str) -> Option<&'t Value> {
        self.known.push(key);
        self.table?.get(key)
    }

    /// The table at a key; what is no table counts as absent.
    pub(crate) fn section(&mut self, key: &'static str, problems: &mut Problems) -> Section<'t> {
        let path = self.path_of(key);
        let table = self.value(key).and_then(|value| {
            expect(value.as_table(), value, &path, &format!("a table: [{path}]"), problems)
        });
        Section { path, table, known: Vec::new() }
    }

    /// Every key with its value, whatever its name, for tables whose keys are data.
    pub(crate) fn entries(&mut self) -> impl Iterator<Item = (&'t str, &'t Value)> + use<'t> {
        self.table.into_iter().flatten().map(|(key, value)| (key.as_str(), value))
    }

    /// Whether the file has this table.
    pub(crate) fn is_present(&self) -> bool {
        self.table.is_some()
    }

    /// A text that is not blank.
    pub(crate) fn text(&mut self, key: &'static str, problems: &mut Problems) -> Option<&'t str> {
        let path = self.path_of(key);
        self.value(key).and_then(|value| text(value, &path, problems))
    }

    /// A list of texts that are not blank.
    pub(crate) fn texts(
        &mut self,
        key: &'static str,
        problems: &mut Problems,
    ) -> Option<Vec<String>> {
        let path = self.path_of(key);
        self.value(key).and_then(|value| texts(value, &path, problems))
    }

    /// `true` or `false`.
    pub(crate) fn flag(&mut self, key: &'static str, problems: &mut Problems) -> Option<bool> {
        let path = self.path_of(key);
        self.value(key)
            .and_then(|value| expect(value.as_bool(), value, &path, "true or false", problems))
    }

    /// A whole number within a range.
    pub(crate) fn number(
        &mut self,
        key: &'static str,
        range: std::ops::RangeInclusive<u32>,
        problems: &mut Problems,
    ) -> Option<u32> {
        let path = self.path_of(key);
        self.value(key).and_then(|value| number(value, &path, range, problems))
    }

    /// A span of time such as `90s`, `30m`, `24h` or `7d`.
    pub(super) fn span(
        &mut self,
        key: &'static str,
        problems: &mut Problems,
    ) -> Option<std::time::Duration> {
        let path = self.path_of(key);
        let value = self.value(key)?;
        let read = value.as_str().and_then(span);
        expect(read, value, &path, "a span of time such as \"24h\" (s, m, h or d)", problems)
    }

    /// Tells the keys that no call above asked for, with the nearest that there is.
    pub(crate) fn finish(self, problems: &mut Problems) {
        for key in self.table.into_iter().flatten().map(|(key, _)| key) {
            if !self.known.contains(&key.as_str()) {
                let hint = nearest(key, self.known.iter().copied());
                problems.add(&self.path_of(key), format!("unknown key{hint}"));
            }
        }
    }
}

/// A whole number above 0 with a unit.
fn span(text: &str) -> Option<std::time::Duration> {
    let text = text.trim();
    let (number, unit) = text.split_at_checked(text.len().checked_sub(1)?)?;
    let seconds: u64 = match unit {
        "s" => 1,
        "m" => 60,
        "h" => 3_600,
        "d" => 86_400,
        _ => return None,
    };
    let number: u32 = number.trim().parse().ok().filter(|number| *number > 0)?;
    Some(std::time::Duration::from_secs(seconds * u64::from(number)))
}

/// A span of time as it is written: in the largest unit that leaves no rest.
pub(super) fn written_span(span: std::time::Duration) -> String {
    let seconds = span.as_secs();
    let units = [("d", 86_400), ("h", 3_600), ("m", 60)];
    let unit = units.into_iter().find(|(_, length)| seconds > 0 && seconds.is_multiple_of(*length));
    let (unit, length) = unit.unwrap_or(("s", 1));
    format!("{}{unit}", seconds / length)
}

/// A text that is not blank.
pub(crate) fn text<'t>(value: &'t Value, path: &str, problems: &mut Problems) -> Option<&'t str> {
    let text = expect(value.as_str(), value, path, "a text in quotes", problems)?;
    if text.trim().is_empty() {
        problems.add(path, "must not be empty");
        return None;
    }
    Some(text)
}

/// A list of texts that are not blank.
pub(crate) fn texts(value: &Value, path: &str, problems: &mut Problems) -> Option<Vec<String>> {
    let list = expect(value.as_array(), value, path, "a list of texts", problems)?;
    let each = list.iter().enumerate();
    each.map(|(index, value)| text(value, &format!("{path}[{index}]"), problems).map(str::to_owned))
        .collect::<Vec<_>>()
        .into_iter()
        .collect()
}

/// A whole number within a range.
pub(crate) fn number(
    value: &Value,
    path: &str,
    range: std::ops::RangeInclusive<u32>,
    problems: &mut Problems,
) -> Option<u32> {
    let wanted = format!("a whole number from {} to {}", range.start(), range.end());
    let found = value.as_integer().and_then(|number| u32::try_from(number).ok());
    expect(found.filter(|number| range.contains(number)), value, path, &wanted, problems)
}

/// What was read, or the problem that the value is something else. The value itself is not reported, for it
/// may be a secret in the wrong place.
pub(crate) fn expect<T>(
    read: Option<T>,
    value: &Value,
    path: &str,
    wanted: &str,
    problems: &mut Problems,
) -> Option<T> {
    if read.is_none() {
        let found = match value {
            Value::Integer(number) => number.to_string(),
            Value::Float(number) => number.to_string(),
            Value::Boolean(flag) => flag.to_string(),
            Value::String(_) => "a text".into(),
            Value::Datetime(_) => "a date".into(),
            Value::Array(_) => "a list".into(),
            Value::Table(_) => "a table".into(),
        };
        problems.add(path, format!("must be {wanted}, not {found}"));
    }
    read
}

/// `; did you mean "x"?`, or nothing where there is no name at all.
pub(crate) fn nearest<'n>(wanted: &str, names: impl Iterator<Item = &'n str>) -> String {
    let folded = wanted.to_lowercase();
    names
        .min_by_key(|name| strsim::osa_distance(&folded, &name.to_lowercase()))
        .map(|name| format!("; did you mean {name:?}?"))
        .unwrap_or_default()
}

/// Whether TOML lets the key stand without quotes.
pub(crate) fn is_bare(key: &str) -> bool {
    !key.is_empty()
        && key.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'_' || byte == b'-')
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn spans_are_read_and_written() {
        let check = |text: &str, seconds: Option<u64>| {
            assert_eq!(span(text).map(|span| span.as_secs()), seconds, "{text}");
        };
        check("90s", Some(90));
        check("30m", Some(1_800));
        check(" 24 h ", Some(86_400));
        check("7d", Some(604_800));
        for bad in ["", "h", "0h", "24", "1.5h", "-1h", "24 hours", "1é", "99999999999d"] {
            check(bad, None);
        }
        for text in ["90s", "5m", "36h", "1d", "7d"] {
            assert_eq!(written_span(span(text).unwrap()), text);
        }
    }
}
