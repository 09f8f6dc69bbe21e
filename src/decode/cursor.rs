//! A reader over a message that cannot run past its end.

use bytes::Bytes;

use super::{DecodeError, text};

/// The unread rest of one message.
pub(super) struct Cursor {
    rest: Bytes,
    what: &'static str,
}

impl Cursor {
    /// `what` names the message in errors.
    pub(super) fn new(rest: Bytes, what: &'static str) -> Self {
        Self { rest, what }
    }

    pub(super) fn malformed(&self) -> DecodeError {
        DecodeError::malformed(self.what)
    }

    /// The next `len` bytes, without copying them.
    pub(super) fn bytes(&mut self, len: usize) -> Result<Bytes, DecodeError> {
        if len > self.rest.len() {
            return Err(self.malformed());
        }
        Ok(self.rest.split_to(len))
    }

    fn array<const N: usize>(&mut self) -> Result<[u8; N], DecodeError> {
        let malformed = self.malformed();
        self.bytes(N)?.as_ref().try_into().map_err(|_| malformed)
    }

    pub(super) fn u8(&mut self) -> Result<u8, DecodeError> {
        Ok(u8::from_be_bytes(self.array()?))
    }

    pub(super) fn u32(&mut self) -> Result<u32, DecodeError> {
        Ok(u32::from_be_bytes(self.array()?))
    }

    pub(super) fn i32(&mut self) -> Result<i32, DecodeError> {
        Ok(i32::from_be_bytes(self.array()?))
    }

    pub(super) fn u64(&mut self) -> Result<u64, DecodeError> {
        Ok(u64::from_be_bytes(self.array()?))
    }

    pub(super) fn i64(&mut self) -> Result<i64, DecodeError> {
        Ok(i64::from_be_bytes(self.array()?))
    }

    /// A count that is written as a signed 16-bit number.
    pub(super) fn count(&mut self) -> Result<usize, DecodeError> {
        usize::try_from(i16::from_be_bytes(self.array()?)).map_err(|_| self.malformed())
    }

    /// A length or count that is written as a signed 32-bit number.
    pub(super) fn length(&mut self) -> Result<usize, DecodeError> {
        usize::try_from(self.i32()?).map_err(|_| self.malformed())
    }

    /// Text up to a zero byte.
    pub(super) fn string(&mut self) -> Result<String, DecodeError> {
        let end = self.rest.iter().position(|&b| b == 0).ok_or_else(|| self.malformed())?;
        let string = text(&self.bytes(end)?);
        self.u8()?;
        Ok(string)
    }

    /// Refuses bytes after the last field: they would mean that the fields were misread.
    pub(super) fn end(&self) -> Result<(), DecodeError> {
        if self.rest.is_empty() { Ok(()) } else { Err(self.malformed()) }
    }

    /// How many bytes are left.
    pub(super) fn left(&self) -> usize {
        self.rest.len()
    }
}
