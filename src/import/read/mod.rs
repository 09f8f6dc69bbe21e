//! The files of an import as sequences of records, whatever their form, in bounded memory.

mod bytes;
mod csv;
pub(super) mod encoding;
mod json;
mod lines;
mod scan;
mod shape;

use std::fs::File;
use std::io::{self, BufRead as _, BufReader, Read, Seek as _, SeekFrom};
use std::path::{Path, PathBuf};

use flate2::bufread::MultiGzDecoder;

use self::csv::CsvRecords;
use self::encoding::{Encoding, Transcoded};
pub(super) use self::json::{Start, Step, Walker};
pub(super) use self::lines::{Lines, SAME_ID, begins, rejects_header};
use super::plan::{Dialect, Format};
use crate::error::{Error, Result};

/// Bytes of the largest record: memory is bounded by it.
const LARGEST_RECORD: usize = 8 << 20;

/// Bytes read at once from a file.
const BUFFER: usize = 256 << 10;

/// The text of a record.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Text {
    /// As it stands in the file; of CSV as a JSON object.
    Whole(String),
    /// Nothing that could be read further.
    Broken { text: String, reason: &'static str },
}

/// Why a record is refused whose bytes are no text: what is kept of it is not what was read.
pub(super) const NOT_UTF_8: &str = "not UTF-8";
/// Why a record is refused of which only a part was kept.
const TOO_LARGE: &str = "larger than 8 MiB";

impl Text {
    fn of(bytes: Vec<u8>, too_large: bool) -> Self {
        match String::from_utf8(bytes) {
            Ok(text) if !too_large => Self::Whole(text),
            Ok(text) => Self::Broken { text, reason: TOO_LARGE },
            Err(error) => {
                let text = String::from_utf8_lossy(error.as_bytes()).into_owned();
                let reason = if too_large { TOO_LARGE } else { NOT_UTF_8 };
                Self::Broken { text, reason }
            }
        }
    }
}

/// A record with its number in its input, from 1.
#[derive(Debug)]
pub(super) struct Record {
    pub(super) number: u64,
    pub(super) text: Text,
    /// Of a record that was rejected for having the id of another: that id. Where it was not corrected, it has it still.
    pub(super) same_as: Option<String>,
}

/// A part of a file that holds records of one input.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Place {
    pub(super) file: PathBuf,
    pub(super) form: Form,
}

/// How the records lie there.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Form {
    /// In an array, or as the members of an object, of a JSON document.
    Array(Start),
    /// One a line.
    Lines,
    /// As separated values.
    Csv,
    /// As the rejected records of an earlier run.
    Rejects,
}

/// The records of one input, for one load.
pub(super) struct Records {
    places: std::vec::IntoIter<Place>,
    dialect: Dialect,
    /// What a file of rejected records names it by.
    load: String,
    open: Option<(PathBuf, Open)>,
    number: u64,
}

enum Open {
    Array(Walker),
    Lines(Lines),
    Csv(Box<CsvRecords>),
    Rejects(Lines),
}

impl Records {
    pub(super) fn new(places: Vec<Place>, dialect: Dialect, load: &str) -> Self {
        let places = places.into_iter();
        Self { places, dialect, load: load.to_owned(), open: None, number: 0 }
    }

    /// The next record.
    ///
    /// # Errors
    /// A file that cannot be read to its end.
    pub(super) fn next(&mut self) -> Result<Option<Record>> {
        loop {
            let Some((file, open)) = &mut self.open else {
                let Some(place) = self.places.next() else { return Ok(None) };
                let opened = open_place(&place, &self.dialect);
                self.open =
                    Some((place.file.clone(), opened.map_err(|e| unreadable(&place.file, &e))?));
                continue;
            };
            let next = match open {
                Open::Array(walker) => next_of_array(walker).map(|text| Some((text?, None))),
                Open::Lines(lines) => lines.next().map(|text| Some((text?, None))),
                Open::Csv(records) => records.next().map(|text| Some((text?, None))),
                Open::Rejects(lines) => lines.next_of(&self.load),
            };
            match next.map_err(|error| unreadable(file, &error))? {
                None => self.open = None,
                Some((text, same_as)) => {
                    self.number += 1;
                    return Ok(Some(Record { number: self.number, text, same_as }));
                }
            }
        }
    }

    /// Leaves out the records up to this number: they were imported before.
    ///
    /// # Errors
    /// As [`Records::next`].
    pub(super) fn skip_to(&mut self, number: u64) -> Result<()> {
        while self.number < number && self.next()?.is_some() {}
        Ok(())
    }
}

fn next_of_array(walker: &mut Walker) -> io::Result<Option<Text>> {
    loop {
        match walker.next()? {
            Step::Array => {}
            Step::Record(text) => return Ok(Some(text)),
            Step::End => return Ok(None),
        }
    }
}

fn open_place(place: &Place, dialect: &Dialect) -> io::Result<Open> {
    let file = &place.file;
    Ok(match &place.form {
        Form::Array(start) => Open::Array(Walker::at(open_at(file, start.offset)?, *start)),
        Form::Lines => Open::Lines(Lines::new(open(file)?)),
        Form::Csv => {
            Open::Csv(Box::new(CsvRecords::new(open_as(file, dialect.encoding)?, dialect)?))
        }
        Form::Rejects => {
            let mut lines = Lines::of_rejects(open(file)?);
            lines.next()?;
            Open::Rejects(lines)
        }
    })
}

/// Opens a file, decompressed where it is a gzip file, as UTF-8 without a byte order mark.
pub(super) fn open(path: &Path) -> io::Result<Box<dyn Read + Send>> {
    open_as(path, Encoding::Utf8)
}

/// As [`open`], of a file in another encoding.
pub(super) fn open_as(path: &Path, encoding: Encoding) -> io::Result<Box<dyn Read + Send>> {
    let mut file = BufReader::with_capacity(BUFFER, regular(path)?);
    if file.fill_buf()?.starts_with(&GZIP) {
        let unpacked = BufReader::with_capacity(BUFFER, MultiGzDecoder::new(file));
        return decoded(unpacked, encoding);
    }
    decoded(file, encoding)
}

/// As [`open`], from a place of its text on.
fn open_at(path: &Path, offset: u64) -> io::Result<Box<dyn Read + Send>> {
    let mut file = regular(path)?;
    let mut head = Vec::new();
    file.by_ref().take(3).read_to_end(&mut head)?;
    if head.starts_with(&GZIP) || head.starts_with(&UTF16_BIG) || head.starts_with(&UTF16_LITTLE) {
        let mut input = open(path)?;
        io::copy(&mut input.by_ref().take(offset), &mut io::sink())?;
        return Ok(input);
    }
    let mark = if head == UTF8 { 3 } else { 0 };
    file.seek(SeekFrom::Start(mark + offset))?;
    Ok(Box::new(BufReader::with_capacity(BUFFER, file)))
}

const GZIP: [u8; 2] = [0x1f, 0x8b];
const UTF8: [u8; 3] = [0xef, 0xbb, 0xbf];
const UTF16_BIG: [u8; 2] = [0xfe, 0xff];
const UTF16_LITTLE: [u8; 2] = [0xff, 0xfe];

/// A file is read several times, which a pipe is not.
fn regular(path: &Path) -> io::Result<File> {
    // Opening a pipe would wait for somebody who writes to it.
    if !std::fs::metadata(path)?.is_file() {
        let problem = "it is no regular file; an import reads its files several times";
        return Err(io::Error::new(io::ErrorKind::InvalidInput, problem));
    }
    File::open(path)
}

fn decoded<R: Read + Send + 'static>(
    mut input: BufReader<R>,
    encoding: Encoding,
) -> io::Result<Box<dyn Read + Send>> {
    let head = input.fill_buf()?;
    let (mark, form) = match head {
        head if head.starts_with(&UTF8) => (3, None),
        head if head.starts_with(&UTF16_BIG) => (2, Some(true)),
        head if head.starts_with(&UTF16_LITTLE) => (2, Some(false)),
        _ => (0, None),
    };
    input.consume(mark);
    Ok(match (form, encoding) {
        (Some(big_endian), _) => {
            Box::new(Transcoded::new(input, encoding::Form::Utf16 { big_endian }))
        }
        (None, Encoding::Windows1252) if mark == 0 => {
            Box::new(Transcoded::new(input, encoding::Form::Windows1252))
        }
        _ => Box::new(input),
    })
}

/// The form of a file by its name, `.gz` left out; a file of rejected records by its first line.
pub(super) fn format_of(path: &Path) -> Option<Format> {
    let name = path.file_name()?.to_str()?.to_lowercase();
    let name = name.strip_suffix(".gz").unwrap_or(&name);
    let (_, ending) = name.rsplit_once('.')?;
    match ending {
        "json" => Some(Format::Json),
        "jsonl" | "ndjson" => Some(Format::JsonLines),
        "csv" | "tsv" | "txt" => Some(Format::Csv),
        _ => None,
    }
}

/// The name of a file without its endings.
pub(super) fn stem(path: &Path) -> String {
    let name = path.file_name().unwrap_or_default().to_string_lossy().into_owned();
    let name = name.strip_suffix(".gz").map(str::to_owned).unwrap_or(name);
    name.rsplit_once('.').map(|(stem, _)| stem.to_owned()).unwrap_or(name)
}

/// A file that cannot be read: its name and place, and nothing that stands in it.
pub(super) fn unreadable(file: &Path, error: &io::Error) -> Error {
    Error::refused(
        format!("{}: {error}", file.display()),
        "export the file again; nothing behind this place can be read",
    )
}
