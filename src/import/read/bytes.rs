//! The bytes of a JSON document with one byte of look-ahead, also those of a document within a text of it.

use std::collections::VecDeque;
use std::io::{self, Read};

/// Bytes read at once.
const BUFFER: usize = 64 << 10;

/// A reader byte by byte.
pub(super) struct Bytes {
    input: Box<dyn Read + Send>,
    buffer: Vec<u8>,
    at: usize,
    /// Bytes before the buffer.
    before: u64,
    /// Whether escapes are resolved and a quotation mark ends the document.
    within_text: bool,
    /// What an escape stands for, as far as it was not taken yet.
    resolved: VecDeque<u8>,
}

impl Bytes {
    /// Bytes from a place of a document on, which may lie within a text of it.
    pub(super) fn new(input: Box<dyn Read + Send>, before: u64, within_text: bool) -> Self {
        let buffer = Vec::with_capacity(BUFFER);
        Self { input, buffer, at: 0, before, within_text, resolved: VecDeque::new() }
    }

    /// Where in the file it is.
    pub(super) fn offset(&self) -> u64 {
        self.before + self.at as u64
    }

    /// The next byte, which stays; `None` at the end of the file or of the text.
    #[inline]
    pub(super) fn peek(&mut self) -> io::Result<Option<u8>> {
        if !self.within_text {
            return self.raw();
        }
        if let Some(&byte) = self.resolved.front() {
            return Ok(Some(byte));
        }
        match self.raw()? {
            Some(b'"') | None => Ok(None),
            Some(b'\\') => {
                self.at += 1;
                self.resolve()?;
                Ok(self.resolved.front().copied())
            }
            byte => Ok(byte),
        }
    }

    /// Takes the byte that [`Bytes::peek`] found.
    #[inline]
    pub(super) fn take(&mut self) {
        if self.resolved.pop_front().is_none() {
            self.at += 1;
        }
    }

    /// Takes the next byte.
    #[inline]
    pub(super) fn next(&mut self) -> io::Result<Option<u8>> {
        let byte = self.peek()?;
        if byte.is_some() {
            self.take();
        }
        Ok(byte)
    }

    /// The bytes that are at hand, where they stand for themselves; none at the end of the file, or within a text.
    #[inline]
    pub(super) fn plain(&mut self) -> io::Result<&[u8]> {
        if self.within_text {
            return Ok(&[]);
        }
        self.raw()?;
        Ok(self.buffer.get(self.at..).unwrap_or_default())
    }

    /// Takes so many of what [`Bytes::plain`] found.
    #[inline]
    pub(super) fn take_plain(&mut self, count: usize) {
        self.at += count;
    }

    /// Goes on within the text whose opening quotation mark was just taken.
    pub(super) fn enter_text(&mut self) {
        self.within_text = true;
    }

    /// Takes the closing quotation mark and goes on behind it.
    pub(super) fn leave_text(&mut self) -> io::Result<bool> {
        self.within_text = false;
        let closed = self.raw()? == Some(b'"');
        self.at += 1;
        Ok(closed)
    }

    pub(super) fn is_within_text(&self) -> bool {
        self.within_text
    }

    #[inline]
    fn raw(&mut self) -> io::Result<Option<u8>> {
        if self.at >= self.buffer.len() && !self.fill()? {
            return Ok(None);
        }
        Ok(self.buffer.get(self.at).copied())
    }

    fn raw_next(&mut self) -> io::Result<Option<u8>> {
        let byte = self.raw()?;
        self.at += 1;
        Ok(byte)
    }

    fn fill(&mut self) -> io::Result<bool> {
        self.before += self.buffer.len() as u64;
        self.at -= self.buffer.len().min(self.at);
        self.buffer.resize(BUFFER, 0);
        let read = loop {
            match self.input.read(&mut self.buffer) {
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                other => break other?,
            }
        };
        self.buffer.truncate(read);
        Ok(read > 0)
    }

    /// Reads what stands behind a backslash.
    fn resolve(&mut self) -> io::Result<()> {
        let byte = match self.raw_next()? {
            Some(b'n') => b'\n',
            Some(b't') => b'\t',
            Some(b'r') => b'\r',
            Some(b'b') => 8,
            Some(b'f') => 12,
            Some(b'u') => return self.resolve_code(),
            Some(byte) => byte,
            None => return Ok(()),
        };
        self.resolved.push_back(byte);
        Ok(())
    }

    fn resolve_code(&mut self) -> io::Result<()> {
        let mut units = vec![self.code()?];
        if (0xD800..0xDC00).contains(&units[0]) && self.raw()? == Some(b'\\') {
            self.at += 1;
            match self.raw_next()? {
                Some(b'u') => units.push(self.code()?),
                _ => return Err(io::Error::new(io::ErrorKind::InvalidData, "a lone surrogate")),
            }
        }
        let text: String =
            char::decode_utf16(units).map(|c| c.unwrap_or(char::REPLACEMENT_CHARACTER)).collect();
        self.resolved.extend(text.bytes());
        Ok(())
    }

    fn code(&mut self) -> io::Result<u16> {
        let mut code = 0;
        for _ in 0..4 {
            let digit = self.raw_next()?.and_then(|byte| char::from(byte).to_digit(16));
            let digit = digit.and_then(|digit| u16::try_from(digit).ok());
            let broken = || io::Error::new(io::ErrorKind::InvalidData, "a broken escape");
            code = (code << 4) | digit.ok_or_else(broken)?;
        }
        Ok(code)
    }
}
