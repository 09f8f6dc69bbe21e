//! Where a JSON value ends, by its brackets and texts alone.

/// Where one is within a value.
#[derive(Default)]
pub(super) struct Scan {
    pub(super) depth: usize,
    pub(super) in_text: bool,
    escaped: bool,
    /// Whether anything of the value was there.
    pub(super) any: bool,
}

impl Scan {
    /// How many of these bytes belong to the value, and whether it ends with them.
    pub(super) fn over(&mut self, bytes: &[u8]) -> (usize, bool) {
        let mut at = 0;
        while let Some(&byte) = bytes.get(at) {
            if self.in_text {
                at += self.text(bytes.get(at..).unwrap_or_default());
                if !self.in_text && self.depth == 0 {
                    return (at, true);
                }
                continue;
            }
            match byte {
                b',' | b']' | b'}' | b':' | b' ' | b'\n' | b'\r' | b'\t' if self.depth == 0 => {
                    return (at, true);
                }
                b'"' => self.in_text = true,
                b'{' | b'[' => self.depth += 1,
                b'}' | b']' => self.depth -= 1,
                _ => {}
            }
            at += 1;
            if self.depth == 0 && matches!(byte, b'}' | b']') {
                return (at, true);
            }
        }
        (at, false)
    }

    /// How many of these bytes belong to the text that one is in.
    fn text(&mut self, bytes: &[u8]) -> usize {
        let mut at = 0;
        if std::mem::take(&mut self.escaped) {
            at = 1;
        }
        while let Some(&byte) = bytes.get(at) {
            at += 1;
            match byte {
                b'"' => {
                    self.in_text = false;
                    return at;
                }
                b'\\' if at < bytes.len() => at += 1,
                b'\\' => self.escaped = true,
                _ => {}
            }
        }
        at
    }
}
