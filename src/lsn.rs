//! A position in the source's write-ahead log.

use std::fmt;

/// A log sequence number. Written `16/B374D848`, as PostgreSQL does.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Default)]
pub struct Lsn(pub u64);

impl Lsn {
    /// Reads `16/B374D848`; `None` where it is not one.
    #[must_use]
    pub fn parse(text: &str) -> Option<Self> {
        let (high, low) = text.split_once('/')?;
        let half = |part: &str| {
            let hex = (1..=8).contains(&part.len()) && part.bytes().all(|b| b.is_ascii_hexdigit());
            if hex { u32::from_str_radix(part, 16).ok() } else { None }
        };
        Some(Self(u64::from(half(high)?) << 32 | u64::from(half(low)?)))
    }
}

impl fmt::Display for Lsn {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:X}/{:X}", self.0 >> 32, self.0 & 0xFFFF_FFFF)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reads_and_writes_what_postgresql_writes() {
        let table = [("0/0", Some(0)), ("16/B374D848", Some(0x16_B374_D848)), ("0/1", Some(1))];
        for (text, expected) in table {
            assert_eq!(Lsn::parse(text), expected.map(Lsn), "{text}");
            assert_eq!(Lsn::parse(text).unwrap().to_string(), text);
        }
        for bad in ["", "/", "1", "1/", "x/1", "123456789/0", "1/+1", "-1/0", "1/2/3"] {
            assert_eq!(Lsn::parse(bad), None, "{bad}");
        }
    }
}
