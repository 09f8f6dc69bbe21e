//! The arrays of a JSON document, record by record, in bounded memory.
//!
//! Only the structure is followed here: where a record begins and ends. Its text is read by `serde_json` afterwards, so
//! that one broken record is rejected alone and does not end the file. A streaming deserialiser would stop at it.

use std::io::{self, Read};

use super::bytes::Bytes;
use super::{LARGEST_RECORD, Text};

/// How deep arrays are looked for.
const DEEPEST: usize = 4;

/// What was found next.
#[derive(Debug, PartialEq)]
pub(in crate::import) enum Step {
    /// An array begins at [`Walker::path`].
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
    },
    Array {
        first: bool,
    },
    /// A text that holds a document.
    Text,
}

/// Walks through a document.
pub(in crate::import) struct Walker {
    bytes: Bytes,
    path: Vec<String>,
    frames: Vec<Frame>,
    started: bool,
    /// Only the array here; none: every array.
    wanted: Option<Vec<String>>,
}

impl Walker {
    /// The array at one path, or all of them.
    pub(in crate::import) fn new(input: Box<dyn Read + Send>, wanted: Option<Vec<String>>) -> Self {
        let bytes = Bytes::new(input);
        Self { bytes, path: Vec::new(), frames: Vec::new(), started: false, wanted }
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
                Frame::Object { depth, first } => {
                    let is_first = std::mem::take(first);
                    let depth = *depth;
                    self.path.truncate(depth);
                    if self.member(is_first)? && self.value()? {
                        return Ok(Step::Array);
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
        match self.space()? {
            None => Ok(Step::End),
            Some(_) => Err(self.broken("the document goes on behind its end")),
        }
    }

    /// Takes the name of the next member; `false` where the object ends.
    fn member(&mut self, is_first: bool) -> io::Result<bool> {
        match self.space()? {
            Some(b'}') => {
                self.bytes.take();
                self.frames.pop();
                return Ok(false);
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
        self.path.push(name);
        Ok(true)
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
            Some(b'{') if self.leads_on() => {
                self.bytes.take();
                self.frames.push(Frame::Object { depth: self.path.len(), first: true });
                Ok(false)
            }
            Some(b'[') if self.is_wanted() => {
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

    /// Whether a wanted array may lie below this path.
    fn leads_on(&self) -> bool {
        match &self.wanted {
            None => self.path.len() < DEEPEST,
            Some(wanted) => wanted.starts_with(&self.path),
        }
    }

    fn is_wanted(&self) -> bool {
        self.wanted.as_ref().is_none_or(|wanted| *wanted == self.path)
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
        self.structure(&mut |byte| {
            if text.len() < LARGEST_RECORD {
                text.push(byte);
            } else {
                too_large = true;
            }
        })?;
        Ok(Text::of(text, too_large))
    }

    /// Takes one value, whatever stands in it: up to the end of its brackets and texts.
    fn structure(&mut self, each: &mut impl FnMut(u8)) -> io::Result<()> {
        let mut depth = 0_usize;
        let (mut in_text, mut escaped) = (false, false);
        let mut any = false;
        loop {
            let Some(byte) = self.bytes.peek()? else {
                let whole = any && depth == 0 && !in_text;
                return if whole { Ok(()) } else { Err(self.broken("a value has no end")) };
            };
            if in_text {
                in_text = escaped || byte != b'"';
                escaped = !escaped && byte == b'\\';
                self.bytes.take();
                each(byte);
                if !in_text && depth == 0 {
                    return Ok(());
                }
                continue;
            }
            match byte {
                b',' | b']' | b'}' | b':' | b' ' | b'\n' | b'\r' | b'\t' if depth == 0 => {
                    return if any { Ok(()) } else { Err(self.broken("a value is missing")) };
                }
                b'"' => in_text = true,
                b'{' | b'[' => depth += 1,
                b'}' | b']' => depth -= 1,
                _ => {}
            }
            self.bytes.take();
            each(byte);
            any = true;
            if depth == 0 && matches!(byte, b'}' | b']') {
                return Ok(());
            }
        }
    }

    fn broken(&self, problem: &str) -> io::Error {
        let at = self.bytes.offset();
        io::Error::new(io::ErrorKind::InvalidData, format!("no JSON at byte {at}: {problem}"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn walk(json: &str, wanted: Option<&[&str]>) -> Result<Vec<String>, String> {
        let wanted = wanted.map(|path| path.iter().map(|&s| s.to_owned()).collect());
        let input = io::Cursor::new(json.to_owned().into_bytes());
        let mut walker = Walker::new(Box::new(input), wanted);
        let mut found = Vec::new();
        loop {
            match walker.next().map_err(|error| error.to_string())? {
                Step::Array => found.push(format!("/{}", walker.path().join("/"))),
                Step::Record(Text::Whole(text)) => found.push(text),
                Step::Record(Text::Broken { reason, .. }) => found.push(reason.to_owned()),
                Step::End => return Ok(found),
            }
        }
    }

    #[test]
    fn every_array_is_found_also_within_texts() {
        let json = r#" {"version":1,"a":[{"x":"]\"}"},2],"deep":{"b":[],"c":"[{\"y\":\"\\\"\\u00e9\\ud83d\\ude00\"}]"},
            "plain":"a [ text","n":null} "#;
        let found = walk(json, None).unwrap();
        let all =
            ["/a", r#"{"x":"]\"}"}"#, "2", "/deep/b", "/deep/c", r#"{"y":"\"\u00e9\ud83d\ude00"}"#];
        assert_eq!(found, all);
        assert_eq!(walk(json, Some(&["deep", "c"])).unwrap(), all[4..]);
        assert_eq!(walk("[1, {\"a\":[2]}]", None).unwrap(), ["/", "1", "{\"a\":[2]}"]);
    }

    #[test]
    fn a_broken_record_stands_alone_and_a_broken_document_does_not() {
        let found = walk(r#"{"a":[{"x":tru},{"x" 1},{"y":2}]}"#, None).unwrap();
        assert_eq!(found, ["/a", r#"{"x":tru}"#, r#"{"x" 1}"#, r#"{"y":2}"#]);
        for json in
            [r#"{"a":[{"x":1}"#, r#"{"a":[{"x":1]}"#, "{} {}", "", r#"{"a" []}"#, r#"{"a":[1,"#]
        {
            let error = walk(json, None).unwrap_err();
            assert!(error.contains("no JSON at byte"), "{json}: {error}");
        }
    }
}
