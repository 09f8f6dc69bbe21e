//! The records of a CSV file as JSON objects, so that everything behind this is one way.

use std::io::{self, BufRead as _, BufReader, Read};

use csv_core::{ReadRecordResult, Reader, ReaderBuilder};

use super::{LARGEST_RECORD, Text};
use crate::import::plan::Dialect;

/// Most values of a record.
const MOST_VALUES: usize = 1 << 16;

/// Reads records.
pub(super) struct CsvRecords {
    input: BufReader<Box<dyn Read + Send>>,
    core: Reader,
    /// Each name as JSON.
    header: Vec<String>,
    null: Vec<Vec<u8>>,
    values: Vec<u8>,
    /// Where each value ends.
    ends: Vec<usize>,
}

/// What was read.
struct Found {
    values: usize,
    /// A quote that is never closed makes one record of the rest of the file: what does not fit is left out.
    too_large: bool,
}

impl CsvRecords {
    pub(super) fn new(input: Box<dyn Read + Send>, dialect: &Dialect) -> io::Result<Self> {
        let core = ReaderBuilder::new()
            .delimiter(dialect.delimiter)
            .quote(dialect.quote)
            .escape(dialect.escape)
            .double_quote(dialect.escape.is_none())
            .build();
        let null = dialect.null.iter().map(|text| text.as_bytes().to_vec()).collect();
        let mut records = Self {
            input: BufReader::with_capacity(64 << 10, input),
            core,
            header: Vec::new(),
            null,
            values: vec![0; 4 << 10],
            ends: vec![0; 64],
        };
        let names = match &dialect.columns {
            Some(columns) => columns.clone(),
            None => records.names()?,
        };
        records.header = distinct(names).iter().map(|name| json(name)).collect();
        Ok(records)
    }

    /// The names in the first line; one that says which separator follows is left out, as Excel does.
    fn names(&mut self) -> io::Result<Vec<String>> {
        loop {
            let Some(found) = self.read()? else { return Ok(Vec::new()) };
            let values = (0..found.values).map(|at| String::from_utf8_lossy(self.value(at)));
            let names: Vec<String> = values.map(|name| name.trim().to_owned()).collect();
            match names.as_slice() {
                [first, rest @ ..]
                    if first.starts_with("sep=") && rest.iter().all(String::is_empty) => {}
                _ => return Ok(names),
            }
        }
    }

    fn read(&mut self) -> io::Result<Option<Found>> {
        let (mut written, mut values, mut too_large) = (0, 0, false);
        let mut rest = [0; 4 << 10];
        let mut more = [0; 64];
        loop {
            let input = self.input.fill_buf()?;
            let (result, read, bytes, ends) = if too_large {
                self.core.read_record(input, &mut rest, &mut more)
            } else {
                let room = self.values.get_mut(written..).unwrap_or_default();
                let ends = self.ends.get_mut(values..).unwrap_or_default();
                self.core.read_record(input, room, ends)
            };
            self.input.consume(read);
            if !too_large {
                written += bytes;
                values += ends;
            }
            match result {
                ReadRecordResult::InputEmpty => {}
                ReadRecordResult::OutputFull if self.values.len() < LARGEST_RECORD => {
                    self.values.resize(2 * self.values.len(), 0);
                }
                ReadRecordResult::OutputEndsFull if self.ends.len() < MOST_VALUES => {
                    self.ends.resize(2 * self.ends.len(), 0);
                }
                ReadRecordResult::OutputFull | ReadRecordResult::OutputEndsFull => too_large = true,
                ReadRecordResult::Record => return Ok(Some(Found { values, too_large })),
                ReadRecordResult::End => return Ok(None),
            }
        }
    }

    fn value(&self, at: usize) -> &[u8] {
        let from = if at == 0 { 0 } else { self.ends.get(at - 1).copied().unwrap_or_default() };
        let to = self.ends.get(at).copied().unwrap_or_default();
        self.values.get(from..to).unwrap_or_default()
    }

    pub(super) fn next(&mut self) -> io::Result<Option<Text>> {
        let Some(found) = self.read()? else { return Ok(None) };
        // Values that are not those of the names are a list: no record, until a person makes one of it.
        let is_record = !found.too_large && found.values == self.header.len();
        let mut text = String::from(if is_record { "{" } else { "[" });
        let mut is_utf8 = true;
        for at in 0..found.values {
            if at > 0 {
                text.push(',');
            }
            if is_record && let Some(name) = self.header.get(at) {
                text.push_str(name);
                text.push(':');
            }
            let value = self.value(at);
            if self.null.iter().any(|null| null == value) {
                text.push_str("null");
            } else {
                let value = String::from_utf8_lossy(value);
                is_utf8 &= matches!(value, std::borrow::Cow::Borrowed(_));
                text.push_str(&json(&value));
            }
        }
        text.push(if is_record { '}' } else { ']' });
        let reason = match () {
            () if found.too_large => super::TOO_LARGE,
            () if !is_record => "its number of values differs from the header's",
            () if !is_utf8 => super::NOT_UTF_8,
            () => return Ok(Some(Text::Whole(text))),
        };
        Ok(Some(Text::Broken { text, reason }))
    }
}

/// Each name once: what has none, or that of another, has its number.
fn distinct(names: Vec<String>) -> Vec<String> {
    let mut distinct: Vec<String> = Vec::with_capacity(names.len());
    for (at, name) in names.into_iter().enumerate() {
        let name = if name.is_empty() { format!("column_{}", at + 1) } else { name };
        let taken = |name: &String| distinct.contains(name);
        let again = (2..).map(|number| format!("{name}_{number}")).find(|name| !taken(name));
        distinct.push(if taken(&name) { again.unwrap_or_default() } else { name });
    }
    distinct
}

fn json(text: &str) -> String {
    serde_json::to_string(text).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(text: &[u8], dialect: &Dialect) -> Vec<Text> {
        let input = Box::new(io::Cursor::new(text.to_vec()));
        let mut records = CsvRecords::new(input, dialect).unwrap();
        std::iter::from_fn(|| records.next().unwrap()).collect()
    }

    fn whole(text: &str) -> Text {
        Text::Whole(text.into())
    }

    #[test]
    fn a_dialect_is_read_and_a_short_line_stands_alone() {
        let dialect = Dialect {
            delimiter: b';',
            escape: Some(b'\\'),
            null: vec!["NULL".into()],
            ..Dialect::default()
        };
        let found = read(b"sep=;\r\nid;name;note\n1;\"a;\\\"b\";NULL\n\n2;x\r\n3;\xff;", &dialect);
        assert_eq!(found[0], whole(r#"{"id":"1","name":"a;\"b","note":null}"#));
        let reason = |at: usize| match &found[at] {
            Text::Broken { reason, .. } => *reason,
            Text::Whole(text) => panic!("{text}"),
        };
        assert!(reason(1).contains("number of values") && reason(2) == "not UTF-8");
        assert_eq!(found.len(), 3);
    }

    #[test]
    fn names_that_stand_there_twice_are_numbered() {
        let found = read(b"id,name,,name,name_2\n1,a,b,c,d", &Dialect::default());
        let names = r#"{"id":"1","name":"a","column_3":"b","name_2":"c","name_2_2":"d"}"#;
        assert_eq!(found, [whole(names)]);
    }

    #[test]
    fn a_quote_that_is_never_closed_fills_no_memory() {
        let mut text = b"id,note\n1,x\n2,\"".to_vec();
        text.extend(std::iter::repeat_n(b'y', 20 << 20));
        let input = Box::new(io::Cursor::new(text));
        let mut records = CsvRecords::new(input, &Dialect::default()).unwrap();
        assert_eq!(records.next().unwrap(), Some(whole(r#"{"id":"1","note":"x"}"#)));
        let Some(Text::Broken { text, reason }) = records.next().unwrap() else { panic!("whole") };
        assert_eq!((text.as_str(), reason), (r#"["2"]"#, "larger than 8 MiB"));
        assert!(records.values.len() <= LARGEST_RECORD && records.next().unwrap().is_none());
    }
}
