//! The arrays of a JSON document, record by record, in bounded memory.
//!
//! Only the structure is followed here: where a record begins and ends. Its text is read by `serde_json` afterwards, so
//! that one broken record is rejected alone and does not end the file. A streaming deserialiser would stop at it.

use std::io::{self, Read};

use serde_json::Value;

use super::bytes::Bytes;
use super::scan::Scan;
use super::shape::Shape;
use super::{LARGEST_RECORD, Text};
use crate::import::record::{MEMBER, SELF};

/// How deep arrays are looked for.
const DEEPEST: usize = 4;

/// Most objects whose members are records that are noted.
const MOST_OBJECTS: usize = 1000;

/// What was found next.
#[derive(Debug, PartialEq)]
pub(in crate::import) enum Step {
    /// An array begins at [`Walker::path`], or an object whose members are records.
    Array,
    /// An element of it.
    Record(Text),
    /// The end of the document.
    End,
}

/// An array or object that is open.
enum Frame {
    Object {
        depth: usize,
        first: bool,
        shape: Shape,
    },
    Array {
        first: bool,
    },
    /// An object whose members are records.
    Members {
        first: bool,
    },
    /// A text that holds a document.
    Text,
}

/// Where a sequence of records begins: behind its bracket.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(in crate::import) struct Start {
    pub(in crate::import) offset: u64,
    within_text: bool,
    pub(in crate::import) members: bool,
}

/// Walks through a document.
pub(in crate::import) struct Walker {
    bytes: Bytes,
    path: Vec<String>,
    frames: Vec<Frame>,
    started: bool,
    /// Objects whose members are records.
    members: Vec<Vec<String>>,
    /// Objects that look like that, and are none of them.
    found: Vec<Vec<String>>,
    /// Only the records of one sequence.
    single: bool,
}

impl Walker {
    /// All arrays, and the objects at these paths.
    pub(in crate::import) fn new(input: Box<dyn Read + Send>, members: Vec<Vec<String>>) -> Self {
        Self::of(Bytes::new(input, 0, false), members)
    }

    fn of(bytes: Bytes, members: Vec<Vec<String>>) -> Self {
        let (path, frames, found) = (Vec::new(), Vec::new(), Vec::new());
        Self { bytes, path, frames, started: false, members, found, single: false }
    }

    /// The records of one sequence, from its start on.
    pub(in crate::import) fn at(input: Box<dyn Read + Send>, start: Start) -> Self {
        let bytes = Bytes::new(input, start.offset, start.within_text);
        let mut walker = Self::of(bytes, Vec::new());
        walker.frames = vec![match start.members {
            true => Frame::Members { first: true },
            false => Frame::Array { first: true },
        }];
        (walker.started, walker.single) = (true, true);
        walker
    }

    /// Where the records begin that [`Step::Array`] announced.
    pub(in crate::import) fn start(&self) -> Start {
        Start {
            offset: self.bytes.offset(),
            within_text: self.bytes.is_within_text(),
            members: matches!(self.frames.last(), Some(Frame::Members { .. })),
        }
    }

    /// Objects that look as if their members were records, each but those within another.
    pub(in crate::import) fn objects(&self) -> Vec<Vec<String>> {
        let is_within = |path: &Vec<String>| {
            self.found.iter().any(|other| other.len() < path.len() && path.starts_with(other))
        };
        self.found.iter().filter(|path| !is_within(path)).cloned().collect()
    }

    /// Where the current array is.
    pub(in crate::import) fn path(&self) -> &[String] {
        &self.path
    }

    /// The next array, record or the end.
    ///
    /// # Errors
    /// Of kind `InvalidData` where the document is no JSON, with the place.
    pub(in crate::import) fn next(&mut self) -> io::Result<Step> {
        loop {
            let Some(frame) = self.frames.last_mut() else {
                if self.started {
                    return self.end();
                }
                self.started = true;
                if self.value()? {
                    return Ok(Step::Array);
                }
                continue;
            };
            match frame {
                Frame::Object { depth, first, .. } => {
                    let is_first = std::mem::take(first);
                    let depth = *depth;
                    self.path.truncate(depth);
                    match self.member(is_first)? {
                        None => self.close(),
                        Some(name) => {
                            if let Some(Frame::Object { shape, .. }) = self.frames.last_mut() {
                                shape.member(&name);
                            }
                            self.path.push(name);
                            if self.value()? {
                                return Ok(Step::Array);
                            }
                        }
                    }
                }
                Frame::Members { first } => {
                    let is_first = std::mem::take(first);
                    match self.member(is_first)? {
                        None => drop(self.frames.pop()),
                        Some(name) => {
                            self.space()?;
                            let text = self.capture()?;
                            return Ok(Step::Record(named(&name, text)));
                        }
                    }
                }
                Frame::Array { first } => {
                    let is_first = std::mem::take(first);
                    if let Some(record) = self.element(is_first)? {
                        return Ok(Step::Record(record));
                    }
                }
                Frame::Text => {
                    self.space()?;
                    if self.bytes.peek()?.is_some() || !self.bytes.leave_text()? {
                        return Err(self.broken("a text goes on behind its JSON"));
                    }
                    self.frames.pop();
                }
            }
        }
    }

    fn end(&mut self) -> io::Result<Step> {
        if self.single {
            return Ok(Step::End);
        }
        match self.space()? {
            None => Ok(Step::End),
            Some(_) => Err(self.broken("the document goes on behind its end")),
        }
    }

    /// An object ends: the one around it learns what it was like.
    fn close(&mut self) {
        let Some(Frame::Object { shape, .. }) = self.frames.pop() else { return };
        if shape.has_records() && self.found.len() < MOST_OBJECTS {
            self.found.push(self.path.clone());
        }
        if let Some(Frame::Object { shape: outer, .. }) = self.frames.last_mut() {
            outer.child(shape);
        }
    }

    /// Takes the name of the next member; `None` where the object ends.
    fn member(&mut self, is_first: bool) -> io::Result<Option<String>> {
        match self.space()? {
            Some(b'}') => {
                self.bytes.take();
                return Ok(None);
            }
            Some(b',') if !is_first => {
                self.bytes.take();
                self.space()?;
            }
            Some(b'"') if is_first => {}
            _ => return Err(self.broken("an object has no \"}\"")),
        }
        let Text::Whole(name) = self.capture()? else {
            return Err(self.broken("a name is no text"));
        };
        let name = serde_json::from_str(&name);
        let name = name.map_err(|_| self.broken("a name is no text"))?;
        if self.space()? != Some(b':') {
            return Err(self.broken("a name has no \":\""));
        }
        self.bytes.take();
        Ok(Some(name))
    }

    /// Takes the next element; `None` where the array ends.
    fn element(&mut self, is_first: bool) -> io::Result<Option<Text>> {
        match self.space()? {
            Some(b']') => {
                self.bytes.take();
                self.frames.pop();
                return Ok(None);
            }
            Some(b',') if !is_first => {
                self.bytes.take();
                self.space()?;
            }
            Some(_) if is_first => {}
            _ => return Err(self.broken("an array has no \"]\"")),
        }
        self.capture().map(Some)
    }

    /// Enters or skips the next value. Whether it is an array that is wanted.
    fn value(&mut self) -> io::Result<bool> {
        match self.space()? {
            Some(b'{') if self.members.contains(&self.path) => {
                self.bytes.take();
                self.frames.push(Frame::Members { first: true });
                Ok(true)
            }
            Some(b'{') if self.leads_on() => {
                self.bytes.take();
                let (depth, shape) = (self.path.len(), Shape::default());
                self.frames.push(Frame::Object { depth, first: true, shape });
                Ok(false)
            }
            Some(b'[') => {
                self.bytes.take();
                self.frames.push(Frame::Array { first: true });
                Ok(true)
            }
            Some(b'"') if !self.bytes.is_within_text() && self.leads_on() => {
                self.bytes.take();
                self.bytes.enter_text();
                match self.bytes.peek()? {
                    Some(b'[' | b'{') => {
                        self.frames.push(Frame::Text);
                        self.value()
                    }
                    _ => {
                        while self.bytes.next()?.is_some() {}
                        let closed = self.bytes.leave_text()?;
                        if closed { Ok(false) } else { Err(self.broken("a text has no end")) }
                    }
                }
            }
            Some(_) => self.skip().map(|()| false),
            None => Err(self.broken("a value is missing")),
        }
    }

    /// Whether arrays below this path are looked for.
    fn leads_on(&self) -> bool {
        self.path.len() < DEEPEST
    }

    /// Takes white space; the byte behind it.
    fn space(&mut self) -> io::Result<Option<u8>> {
        loop {
            match self.bytes.peek()? {
                Some(b' ' | b'\n' | b'\r' | b'\t') => self.bytes.take(),
                other => return Ok(other),
            }
        }
    }

    fn skip(&mut self) -> io::Result<()> {
        self.structure(&mut |_| {})
    }

    fn capture(&mut self) -> io::Result<Text> {
        let mut text = Vec::new();
        let mut too_large = false;
        self.structure(&mut |bytes| {
            let room = LARGEST_RECORD - text.len();
            too_large |= bytes.len() > room;
            text.extend_from_slice(bytes.get(..room).unwrap_or(bytes));
        })?;
        Ok(Text::of(text, too_large))
    }

    /// Takes one value, whatever stands in it: up to the end of its brackets and texts.
    fn structure(&mut self, each: &mut impl FnMut(&[u8])) -> io::Result<()> {
        let mut scan = Scan::default();
        loop {
            let plain = self.bytes.plain()?;
            let (taken, ended) = if plain.is_empty() {
                let Some(byte) = self.bytes.peek()? else {
                    let whole = scan.any && scan.depth == 0 && !scan.in_text;
                    return if whole { Ok(()) } else { Err(self.broken("a value has no end")) };
                };
                let (taken, ended) = scan.over(&[byte]);
                if taken > 0 {
                    self.bytes.take();
                    each(&[byte]);
                }
                (taken, ended)
            } else {
                let (taken, ended) = scan.over(plain);
                each(plain.get(..taken).unwrap_or_default());
                self.bytes.take_plain(taken);
                (taken, ended)
            };
            scan.any |= taken > 0;
            if ended {
                return if scan.any { Ok(()) } else { Err(self.broken("a value is missing")) };
            }
        }
    }

    fn broken(&self, problem: &str) -> io::Error {
        let at = self.bytes.offset();
        io::Error::new(io::ErrorKind::InvalidData, format!("no JSON at byte {at}: {problem}"))
    }
}

/// A member of an object as a record: its name becomes a field of it.
fn named(name: &str, text: Text) -> Text {
    let name = Value::from(name).to_string();
    let with = |text: String| match text.strip_suffix('}') {
        Some(inner) if text.starts_with('{') => {
            let comma = if inner.trim_end() == "{" { "" } else { "," };
            format!("{inner}{comma}\"{MEMBER}\":{name}}}")
        }
        _ => format!("{{\"{MEMBER}\":{name},\"{SELF}\":{text}}}"),
    };
    match text {
        Text::Whole(text) => Text::Whole(with(text)),
        broken @ Text::Broken { .. } => broken,
    }
}

#[cfg(test)]
#[path = "json_tests.rs"]
mod tests;
