//! Records one a line, and the file of rejected records, which is one of them with a line in front.

use std::io::{self, BufRead as _, BufReader, Read};

use serde::Deserialize;
use serde_json::value::RawValue;

use super::{LARGEST_RECORD, NOT_UTF_8, Text};

/// Lines that are not blank.
pub(in crate::import) struct Lines {
    input: BufReader<Box<dyn Read + Send>>,
    /// Bytes of the longest line that is read whole.
    longest: usize,
}

impl Lines {
    pub(in crate::import) fn new(input: Box<dyn Read + Send>) -> Self {
        Self { input: BufReader::with_capacity(64 << 10, input), longest: LARGEST_RECORD }
    }

    /// Lines of a file of rejected records: a record in each, which quoting may have doubled, and what is said of it.
    pub(super) fn of_rejects(input: Box<dyn Read + Send>) -> Self {
        Self { longest: 2 * LARGEST_RECORD + (64 << 10), ..Self::new(input) }
    }

    /// The next line.
    pub(in crate::import) fn next(&mut self) -> io::Result<Option<Text>> {
        loop {
            let mut line = Vec::new();
            let limit = self.longest as u64 + 1;
            let read = self.input.by_ref().take(limit).read_until(b'\n', &mut line)?;
            if read == 0 {
                return Ok(None);
            }
            let too_large = read as u64 == limit && !line.ends_with(b"\n");
            if too_large {
                self.rest_of_line()?;
            }
            let end = line.iter().rposition(|byte| !byte.is_ascii_whitespace());
            let Some(end) = end else { continue };
            line.truncate(end + 1);
            return Ok(Some(Text::of(line, too_large)));
        }
    }

    fn rest_of_line(&mut self) -> io::Result<()> {
        loop {
            let buffer = self.input.fill_buf()?;
            let length = buffer.len();
            if length == 0 {
                return Ok(());
            }
            if let Some(at) = buffer.iter().position(|byte| *byte == b'\n') {
                self.input.consume(at + 1);
                return Ok(());
            }
            self.input.consume(length);
        }
    }

    /// The next record that was rejected for a load, as it may have been corrected, with the id that another record had.
    pub(super) fn next_of(&mut self, load: &str) -> io::Result<Option<(Text, Option<String>)>> {
        while let Some(line) = self.next()? {
            let text = match &line {
                Text::Whole(text) => text,
                Text::Broken { text, .. } if text.starts_with(&begins(load)) => {
                    return Ok(Some((line, None)));
                }
                // Another load's.
                Text::Broken { .. } => continue,
            };
            let broken = |reason| (Text::Broken { text: text.clone(), reason }, None);
            match serde_json::from_str::<Rejected<'_>>(text) {
                // Bytes that were no text are not what they were until somebody has put the characters there.
                Ok(rejected) if rejected.load == load && rejected.is_damaged() => {
                    let text =
                        rejected.record.map_or_else(String::new, |record| whole(record.get()));
                    return Ok(Some((Text::Broken { text, reason: NOT_UTF_8 }, None)));
                }
                Ok(rejected) if rejected.load == load => {
                    let same_as =
                        rejected.other.filter(|_| rejected.reason.as_deref() == Some(SAME_ID));
                    let record = rejected.record.map(|record| Text::Whole(whole(record.get())));
                    let found = record.map(|record| (record, same_as));
                    return Ok(Some(found.unwrap_or_else(|| broken("without a record"))));
                }
                Ok(_) => {}
                Err(_) => return Ok(Some(broken("not JSON"))),
            }
        }
        Ok(None)
    }
}

/// How the line of a rejected record begins: whose it is shows also where the rest cannot be read.
pub(in crate::import) fn begins(load: &str) -> String {
    format!("{{\"load\":{}", serde_json::Value::from(load))
}

/// A record that was broken stands in the file as a text, which holds it again once it is corrected.
fn whole(record: &str) -> String {
    match serde_json::from_str::<String>(record) {
        Ok(text) if serde_json::from_str::<&RawValue>(&text).is_ok() => text,
        _ => record.to_owned(),
    }
}

/// Why a second record with one id is no row.
pub(in crate::import) const SAME_ID: &str = "the same id";

/// What is read of a line of rejected records.
#[derive(Deserialize)]
struct Rejected<'r> {
    load: String,
    reason: Option<String>,
    other: Option<String>,
    #[serde(borrow)]
    record: Option<&'r RawValue>,
}

impl Rejected<'_> {
    /// Whether characters that could not be read are still missing.
    fn is_damaged(&self) -> bool {
        let is_replaced = |record: &RawValue| record.get().contains(char::REPLACEMENT_CHARACTER);
        self.reason.as_deref() == Some(NOT_UTF_8) && self.record.is_some_and(is_replaced)
    }
}

/// The first line of a file of rejected records.
#[derive(Deserialize)]
struct Header {
    tributary_rejects: String,
}

/// The import whose rejected records a file holds, by its first line.
pub(in crate::import) fn rejects_header(line: &str) -> Option<String> {
    serde_json::from_str::<Header>(line).ok().map(|header| header.tributary_rejects)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn lines(text: &str) -> Lines {
        Lines::new(Box::new(io::Cursor::new(text.to_owned().into_bytes())))
    }

    #[test]
    fn lines_are_records_and_blank_ones_are_none() {
        let mut lines = lines("{\"a\":1}\r\n\n  \n{\"a\":2}");
        assert_eq!(lines.next().unwrap(), Some(Text::Whole("{\"a\":1}".into())));
        assert_eq!(lines.next().unwrap(), Some(Text::Whole("{\"a\":2}".into())));
        assert_eq!(lines.next().unwrap(), None);
    }

    #[test]
    fn rejected_records_come_back_for_their_load_alone() {
        let text = "{\"load\":\"a to b\",\"reason\":\"the same id\",\"other\":\"7\",\"record\":{\"x\":1}}\n{\"load\":\"c to d\",\"record\":{}}\n";
        let mut lines = lines(text);
        let found = (Text::Whole("{\"x\":1}".into()), Some("7".to_owned()));
        assert_eq!(lines.next_of("a to b").unwrap(), Some(found));
        assert_eq!(lines.next_of("a to b").unwrap(), None);
        assert_eq!(rejects_header("{\"tributary_rejects\":\"school\"}"), Some("school".into()));
        assert_eq!(rejects_header("{\"id\":1}"), None);
        assert_eq!(whole("\"{\\\"x\\\":1}\""), "{\"x\":1}");
        assert_eq!(whole("\"{\\\"x\\\"\""), "\"{\\\"x\\\"\"");
    }
}
