//! Files that are not UTF-8: Windows-1252, which the plan names, and UTF-16, which its byte order mark says.

use std::io::{self, Read};

/// How the characters of a file are written.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Encoding {
    /// UTF-8; with a byte order mark of UTF-16, that.
    #[default]
    Utf8,
    /// Windows-1252, the superset of Latin-1 that Excel and old databases write.
    Windows1252,
}

/// The characters of Windows-1252 from 0x80 to 0x9f; five bytes have none.
const UPPER: [char; 32] = [
    '€', '\u{81}', '‚', 'ƒ', '„', '…', '†', '‡', 'ˆ', '‰', 'Š', '‹', 'Œ', '\u{8d}', 'Ž', '\u{8f}',
    '\u{90}', '‘', '’', '“', '”', '•', '–', '—', '˜', '™', 'š', '›', 'œ', '\u{9d}', 'ž', 'Ÿ',
];

/// What bytes stand for.
pub(super) enum Form {
    Windows1252,
    Utf16 { big_endian: bool },
}

/// A file in another encoding as UTF-8.
pub(super) struct Transcoded<R> {
    input: R,
    form: Form,
    raw: Vec<u8>,
    /// What of `raw` was not decoded yet: half a character.
    left: usize,
    decoded: Vec<u8>,
    at: usize,
}

impl<R: Read> Transcoded<R> {
    pub(super) fn new(input: R, form: Form) -> Self {
        Self { input, form, raw: vec![0; 16 << 10], left: 0, decoded: Vec::new(), at: 0 }
    }

    fn fill(&mut self) -> io::Result<()> {
        let read = loop {
            match self.input.read(self.raw.get_mut(self.left..).unwrap_or_default()) {
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                other => break other?,
            }
        };
        let there = self.left + read;
        let mut text = String::with_capacity(3 * there);
        let raw = self.raw.get(..there).unwrap_or_default();
        let taken = match self.form {
            Form::Windows1252 => {
                text.extend(raw.iter().map(|byte| latin(*byte)));
                there
            }
            Form::Utf16 { big_endian } => {
                let mut units: Vec<u16> = raw
                    .chunks_exact(2)
                    .map(|pair| match (big_endian, pair) {
                        (true, &[a, b]) => u16::from_be_bytes([a, b]),
                        (false, &[a, b]) => u16::from_le_bytes([a, b]),
                        _ => 0,
                    })
                    .collect();
                let is_half = |unit: &u16| read > 0 && (0xD800..0xDC00).contains(unit);
                if units.last().is_some_and(is_half) {
                    units.pop();
                }
                let decoded = char::decode_utf16(units.iter().copied());
                text.extend(decoded.map(|c| c.unwrap_or(char::REPLACEMENT_CHARACTER)));
                if read == 0 && there % 2 == 1 {
                    text.push(char::REPLACEMENT_CHARACTER);
                    there
                } else {
                    2 * units.len()
                }
            }
        };
        self.raw.copy_within(taken..there, 0);
        self.left = there - taken;
        (self.decoded, self.at) = (text.into_bytes(), 0);
        Ok(())
    }
}

fn latin(byte: u8) -> char {
    match byte {
        0x80..=0x9f => UPPER.get(usize::from(byte - 0x80)).copied().unwrap_or('\u{fffd}'),
        byte => char::from(byte),
    }
}

impl<R: Read> Read for Transcoded<R> {
    fn read(&mut self, to: &mut [u8]) -> io::Result<usize> {
        // A read that completes no character gives nothing yet.
        while self.at >= self.decoded.len() {
            let before = self.left;
            self.fill()?;
            if self.decoded.is_empty() && self.left <= before {
                return Ok(0);
            }
        }
        let rest = self.decoded.get(self.at..).unwrap_or_default();
        let count = rest.len().min(to.len());
        to[..count].copy_from_slice(&rest[..count]);
        self.at += count;
        Ok(count)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn text(bytes: &[u8], form: Form) -> String {
        let mut text = String::new();
        Transcoded::new(bytes, form).read_to_string(&mut text).unwrap();
        text
    }

    #[test]
    fn characters_become_utf_8() {
        assert_eq!(text(b"Pe\xf1a \x80 \x93x\x94", Form::Windows1252), "Peña € “x”");
        for big_endian in [true, false] {
            let wanted = "Peña 😀".repeat(9000);
            let pair = |unit: u16| if big_endian { unit.to_be_bytes() } else { unit.to_le_bytes() };
            let bytes: Vec<u8> = wanted.encode_utf16().flat_map(pair).collect();
            assert!(text(&bytes, Form::Utf16 { big_endian }) == wanted);
            // Cut off within a character.
            let cut = text(&bytes[..bytes.len() - 1], Form::Utf16 { big_endian });
            assert!(cut.ends_with('\u{fffd}') && cut.len() > wanted.len() - 4);
        }
        assert_eq!(text(b"", Form::Utf16 { big_endian: true }), "");
    }
}
