//! The records of a CSV file as JSON objects, so that everything behind this is one way.

use std::io::{self, Read};

use csv::{ByteRecord, Reader, ReaderBuilder};

use super::Text;
use crate::import::plan::Dialect;

/// Reads records.
pub(super) struct CsvRecords {
    reader: Reader<Box<dyn Read + Send>>,
    header: Vec<String>,
    null: Vec<Vec<u8>>,
    record: ByteRecord,
}

impl CsvRecords {
    pub(super) fn new(input: Box<dyn Read + Send>, dialect: &Dialect) -> io::Result<Self> {
        let mut reader = ReaderBuilder::new()
            .has_headers(false)
            .flexible(true)
            .delimiter(dialect.delimiter)
            .quote(dialect.quote)
            .escape(dialect.escape)
            .double_quote(dialect.escape.is_none())
            .from_reader(input);
        let mut record = ByteRecord::new();
        let header = match &dialect.columns {
            Some(columns) => columns.clone(),
            None => {
                reader.read_byte_record(&mut record)?;
                let names =
                    record.iter().map(|name| String::from_utf8_lossy(name).trim().to_owned());
                names.collect()
            }
        };
        let null = dialect.null.iter().map(|text| text.as_bytes().to_vec()).collect();
        Ok(Self { reader, header, null, record })
    }

    pub(super) fn next(&mut self) -> io::Result<Option<Text>> {
        if !self.reader.read_byte_record(&mut self.record)? {
            return Ok(None);
        }
        let whole = self.record.iter().all(|value| std::str::from_utf8(value).is_ok());
        let reason = match (self.record.len() == self.header.len(), whole) {
            (true, true) => None,
            (false, _) => Some("its number of values differs from the header's"),
            (_, false) => Some("not UTF-8"),
        };
        let mut text = String::from("{");
        for (at, value) in self.record.iter().enumerate() {
            if at > 0 {
                text.push(',');
            }
            let number = at.to_string();
            push_string(&mut text, self.header.get(at).unwrap_or(&number));
            text.push(':');
            if self.null.iter().any(|null| null == value) {
                text.push_str("null");
            } else {
                push_string(&mut text, &String::from_utf8_lossy(value));
            }
        }
        text.push('}');
        Ok(Some(match reason {
            None => Text::Whole(text),
            Some(reason) => Text::Broken { text, reason },
        }))
    }
}

fn push_string(json: &mut String, text: &str) {
    json.push_str(&serde_json::Value::from(text).to_string());
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_dialect_is_read_and_a_short_line_stands_alone() {
        let text = "id;name;note\n1;\"a;\\\"b\";NULL\n2;x\n";
        let dialect = Dialect {
            delimiter: b';',
            escape: Some(b'\\'),
            null: vec!["NULL".into()],
            ..Dialect::default()
        };
        let input = Box::new(io::Cursor::new(text.as_bytes().to_vec()));
        let mut records = CsvRecords::new(input, &dialect).unwrap();
        let whole = r#"{"id":"1","name":"a;\"b","note":null}"#;
        assert_eq!(records.next().unwrap(), Some(Text::Whole(whole.into())));
        assert!(
            matches!(records.next().unwrap(), Some(Text::Broken { reason, .. }) if reason.contains("values"))
        );
        assert_eq!(records.next().unwrap(), None);
    }
}
