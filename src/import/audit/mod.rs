//! `--audit`: what an export holds, without a plan. Values are never shown: examples are named by their keys (P14).

mod array;
mod fields;
mod guess;
mod propose;
mod seen;

use std::io::Read as _;
use std::path::{Path, PathBuf};

use serde::Serialize;

pub use self::array::{Array, Field, Refers, Share};
pub use self::guess::Guess;
pub use self::propose::propose;
use self::seen::Seen;
use super::plan::{Dialect, Encoding, Format};
use super::read::{Form, Place, Records, Step, Walker, format_of, open, stem, unreadable};
use crate::error::{Error, Result};

/// Most arrays that are described.
const MOST_ARRAYS: usize = 1000;

/// Bytes of a file by which its separator and its encoding are told.
const HEAD: u64 = 256 << 10;

/// What the files hold.
#[derive(Debug, Default, Serialize)]
pub struct Audit {
    /// Every array, in the order of the files.
    pub arrays: Vec<Array>,
}

/// Reads the files several times: for the objects whose members are records, for the fields, and for the references between
/// them.
///
/// # Errors
/// A file that cannot be read to its end.
pub fn audit(files: &[PathBuf]) -> Result<Audit> {
    let mut audit = Audit::default();
    for file in files {
        audit.file(file)?;
    }
    for array in &mut audit.arrays {
        array.find_key();
    }
    audit.references()?;
    Ok(audit)
}

impl Audit {
    fn file(&mut self, file: &Path) -> Result<()> {
        match format_of(file) {
            Some(Format::Json) => self.document(file),
            Some(format) => {
                let form = if format == Format::Csv { Form::Csv } else { Form::Lines };
                let mut array = Array::new(stem(file), file);
                array.dialect = dialect(file).map_err(|error| unreadable(file, &error))?;
                let place = Place { file: file.to_owned(), form };
                array.place = Some(place.clone());
                let mut records = Records::new(vec![place], array.dialect.clone(), "");
                while let Some(record) = records.next()? {
                    array.note(&record.text);
                }
                self.arrays.push(array);
                Ok(())
            }
            None => Err(Error::refused(
                format!("{}: the form of this file is unknown by its name", file.display()),
                "name it .json, .jsonl, .csv or one of these with .gz",
            )),
        }
    }

    fn document(&mut self, file: &Path) -> Result<()> {
        let read = |error: std::io::Error| unreadable(file, &error);
        let mut walker = Walker::new(open(file).map_err(read)?, Vec::new());
        while walker.next().map_err(read)? != Step::End {}
        let mut walker = Walker::new(open(file).map_err(read)?, walker.objects());
        loop {
            match walker.next().map_err(read)? {
                Step::End => return Ok(()),
                Step::Array => {
                    let path = walker.path();
                    let name = if path.is_empty() { stem(file) } else { path.join(".") };
                    let mut array = Array::new(name, file);
                    array.members = walker.start().members;
                    let form = Form::Array(walker.start());
                    array.place = Some(Place { file: file.to_owned(), form });
                    if self.arrays.len() >= MOST_ARRAYS {
                        return Err(Error::refused(
                            format!("{}: there are more than {MOST_ARRAYS} arrays", file.display()),
                            "write a plan by hand; records that are the members of an object are an input with \
                             members = true",
                        ));
                    }
                    self.arrays.push(array);
                }
                Step::Record(text) => {
                    if let Some(array) = self.arrays.last_mut() {
                        array.note(&text);
                    }
                }
            }
        }
    }

    /// Which fields hold the keys of another array.
    fn references(&mut self) -> Result<()> {
        let mut keys: Vec<(String, Seen)> = Vec::new();
        for array in &mut self.arrays {
            let key = array.key.clone();
            for (name, field) in &mut array.fields {
                let seen = field.seen.take();
                if Some(name) == key.as_ref() {
                    keys.extend(seen.map(|seen| (array.name.clone(), seen)));
                }
            }
        }
        for array in &mut self.arrays {
            array.refer(&keys)?;
        }
        Ok(())
    }
}

/// The separator that the header has most of, and the encoding that the bytes fit.
fn dialect(file: &Path) -> std::io::Result<Dialect> {
    let mut head = Vec::new();
    open(file)?.take(HEAD).read_to_end(&mut head)?;
    let line = head.split(|byte| *byte == b'\n').next().unwrap_or_default();
    let count = |delimiter: &u8| line.iter().filter(|byte| *byte == delimiter).count();
    let delimiter = [b'|', b'\t', b';', b','].into_iter().max_by_key(count).unwrap_or(b',');
    // The last character may be cut off; what is invalid in the middle is another encoding.
    let is_utf8 = std::str::from_utf8(&head).err().is_none_or(|error| error.error_len().is_none());
    let encoding = if is_utf8 { Encoding::Utf8 } else { Encoding::Windows1252 };
    Ok(Dialect { delimiter, encoding, ..Dialect::default() })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_export_is_described_without_its_values() {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("export.json");
        let json = r#"{"users":[{"id":"u1","email":"ana@example.com","ok":1,"born":"1990-05-04"},
            {"id":"u2","email":"ana@example.com","ok":"yes","born":null},{"id":}],
            "posts":[{"id":1,"userId":"u1","at":1751256144},{"id":2,"userId":"u9","at":"2025-06-30T04:02:24Z"}]}"#;
        std::fs::write(&file, json).unwrap();
        let found = audit(&[file]).unwrap();
        let [users, posts] = found.arrays.as_slice() else { panic!("{found:?}") };
        assert_eq!((users.records, users.broken, users.broken_records[0]), (3, 1, 3));
        assert_eq!(users.key.as_deref(), Some("id"));
        assert_eq!(users.fields["email"].repeated_at, Some(("record 1".into(), "u2".into())));
        assert_eq!(users.fields["born"].nulls, 1);
        let refers = posts.fields["userId"].refers_to.clone().unwrap();
        assert_eq!((refers.array.as_str(), refers.found, refers.orphans), ("users", 1, 1));
        assert_eq!(posts.fields["at"].types.len(), 2);
        let shown = serde_json::to_string(&found).unwrap();
        assert!(!shown.contains("example.com") && !shown.contains("1990"), "{shown}");
    }
}
