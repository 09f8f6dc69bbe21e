//! Reading a text from left to right.

/// The part of a text that is not read yet. Every method reads nothing where it gives nothing.
#[derive(Debug, Clone, Copy)]
pub(super) struct Cursor<'a> {
    rest: &'a str,
}

impl<'a> Cursor<'a> {
    pub(super) fn new(text: &'a str) -> Self {
        Self { rest: text }
    }

    /// All is read.
    pub(super) fn end(&self) -> Option<()> {
        self.rest.is_empty().then_some(())
    }

    pub(super) fn rest(&self) -> &'a str {
        self.rest
    }

    /// One of these ASCII characters.
    pub(super) fn one_of(&mut self, accepted: &[u8]) -> Option<u8> {
        let first = *self.rest.as_bytes().first()?;
        if !first.is_ascii() || !accepted.contains(&first) {
            return None;
        }
        self.rest = &self.rest[1..];
        Some(first)
    }

    /// This text, in any case; it must be ASCII.
    pub(super) fn word(&mut self, expected: &str) -> Option<()> {
        let head = self.rest.get(..expected.len())?;
        if !head.eq_ignore_ascii_case(expected) {
            return None;
        }
        self.rest = &self.rest[expected.len()..];
        Some(())
    }

    /// A whole run of ASCII letters, possibly empty.
    pub(super) fn letters(&mut self) -> &'a str {
        self.run(|byte| byte.is_ascii_alphabetic())
    }

    /// A whole run of digits, if it is `least` to `most` long. `most` is at most 6.
    pub(super) fn digits(&mut self, least: usize, most: usize) -> Option<u32> {
        let before = *self;
        let run = self.run(|byte| byte.is_ascii_digit());
        if !(least..=most).contains(&run.len()) {
            *self = before;
            return None;
        }
        run.parse().ok()
    }

    /// Exactly this many digits, even where more follow. `count` is at most 6.
    pub(super) fn exactly(&mut self, count: usize) -> Option<u32> {
        let head = self.rest.get(..count)?;
        if !head.bytes().all(|byte| byte.is_ascii_digit()) {
            return None;
        }
        self.rest = &self.rest[count..];
        head.parse().ok()
    }

    /// A decimal fraction after its point, in millionths, further digits cut off.
    pub(super) fn millionths(&mut self) -> Option<i32> {
        let run = self.run(|byte| byte.is_ascii_digit());
        if run.is_empty() {
            return None;
        }
        let digits = run.bytes().chain(std::iter::repeat(b'0')).take(6);
        Some(digits.fold(0, |value, digit| value * 10 + i32::from(digit - b'0')))
    }

    fn run(&mut self, accepted: impl Fn(u8) -> bool) -> &'a str {
        let end = self.rest.bytes().position(|byte| !accepted(byte)).unwrap_or(self.rest.len());
        // Bytes of a character beyond ASCII are never accepted, so this is a character boundary.
        let (run, rest) = self.rest.split_at(end);
        self.rest = rest;
        run
    }
}
