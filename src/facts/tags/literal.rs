//! Lists as PostgreSQL and Python print them (SPEC §3.6).

/// Deepest nesting that is read: no list of tags comes near it, and the stack never overflows.
const DEEPEST: usize = 32;

/// White space as both print it: any other is a value without quotes.
const SPACES: [char; 6] = [' ', '\t', '\n', '\r', '\u{b}', '\u{c}'];

/// The elements of a PostgreSQL array such as `{a,"b, c",NULL}`, those of inner arrays included and NULLs
/// left out. Bounds before it, as in `[0:1]={a,b}`, are nothing to a list of tags.
pub(super) fn postgres_array(text: &str) -> Option<Vec<String>> {
    let text = text.trim_matches(SPACES);
    let array = match text.strip_prefix('[') {
        Some(_) => {
            let (bounds, array) = text.split_once('=')?;
            let is_bound = |c: char| c.is_ascii_digit() || matches!(c, '[' | ':' | ']' | '-' | '+');
            bounds.chars().all(is_bound).then_some(array)?
        }
        None => text,
    };
    let mut reader = Reader { rest: array };
    let mut elements = Vec::new();
    reader.array(&mut elements, 0)?;
    reader.skip_spaces();
    reader.rest.is_empty().then_some(elements)
}

/// The strings of a Python list, and the names of its dicts: `['a', {'id': 1, 'name': 'b'}]`.
pub(super) fn python_list(text: &str) -> Option<Vec<String>> {
    let mut reader = Reader { rest: text };
    let mut texts = Vec::new();
    reader.take('[')?;
    reader.sequence(']', 0, |value| match value {
        Python::Text(text) | Python::Named(text) => texts.push(text),
        Python::Other => {}
    })?;
    reader.skip_spaces();
    reader.rest.is_empty().then_some(texts)
}

/// What a Python literal is to a list of tags.
enum Python {
    Text(String),
    /// A dict, by its name.
    Named(String),
    Other,
}

struct Reader<'a> {
    rest: &'a str,
}

impl Reader<'_> {
    fn skip_spaces(&mut self) {
        self.rest = self.rest.trim_start_matches(SPACES);
    }

    fn peek(&self) -> Option<char> {
        self.rest.chars().next()
    }

    fn next(&mut self) -> Option<char> {
        let c = self.peek()?;
        self.rest = &self.rest[c.len_utf8()..];
        Some(c)
    }

    fn take(&mut self, expected: char) -> Option<()> {
        self.rest = self.rest.strip_prefix(expected)?;
        Some(())
    }

    fn array(&mut self, elements: &mut Vec<String>, depth: usize) -> Option<()> {
        self.take('{').filter(|()| depth < DEEPEST)?;
        self.skip_spaces();
        if self.take('}').is_some() {
            return Some(());
        }
        loop {
            self.skip_spaces();
            match self.peek()? {
                '{' => self.array(elements, depth + 1)?,
                '"' => elements.push(self.quoted_element()?),
                _ => elements.extend(self.plain_element()?),
            }
            self.skip_spaces();
            match self.next()? {
                ',' => {}
                '}' => return Some(()),
                _ => return None,
            }
        }
    }

    fn quoted_element(&mut self) -> Option<String> {
        let mut element = String::new();
        self.take('"')?;
        loop {
            match self.next()? {
                '"' => return Some(element),
                '\\' => element.push(self.next()?),
                c => element.push(c),
            }
        }
    }

    /// An element without quotes; `Some(None)` is NULL.
    fn plain_element(&mut self) -> Option<Option<String>> {
        let mut element = String::new();
        let mut escaped = false;
        loop {
            match self.peek()? {
                ',' | '}' => break,
                '{' | '"' => return None,
                '\\' => {
                    escaped = true;
                    self.next();
                    element.push(self.next()?);
                }
                c => {
                    self.next();
                    element.push(c);
                }
            }
        }
        let element = element.trim_end_matches(SPACES);
        if element.is_empty() {
            return None;
        }
        let null = !escaped && element.eq_ignore_ascii_case("null");
        Some((!null).then(|| element.to_owned()))
    }

    /// The values up to the closing bracket, which may follow a comma.
    fn sequence(&mut self, close: char, depth: usize, mut each: impl FnMut(Python)) -> Option<()> {
        loop {
            self.skip_spaces();
            if self.take(close).is_some() {
                return Some(());
            }
            each(self.value(depth + 1)?);
            self.skip_spaces();
            if self.take(',').is_none() {
                return self.take(close);
            }
        }
    }

    fn value(&mut self, depth: usize) -> Option<Python> {
        if depth > DEEPEST {
            return None;
        }
        self.skip_spaces();
        match self.peek()? {
            '\'' | '"' => self.string().map(Python::Text),
            'u' if self.rest[1..].starts_with(['\'', '"']) => {
                self.next();
                self.string().map(Python::Text)
            }
            '[' => self.inner_sequence('[', ']', depth),
            '(' => self.inner_sequence('(', ')', depth),
            '{' => self.dict(depth),
            _ => self.word(),
        }
    }

    fn inner_sequence(&mut self, open: char, close: char, depth: usize) -> Option<Python> {
        self.take(open)?;
        self.sequence(close, depth, drop)?;
        Some(Python::Other)
    }

    fn dict(&mut self, depth: usize) -> Option<Python> {
        let mut name = None;
        self.take('{')?;
        loop {
            self.skip_spaces();
            if self.take('}').is_some() {
                break;
            }
            let key = self.value(depth + 1)?;
            self.skip_spaces();
            self.take(':')?;
            let value = self.value(depth + 1)?;
            if matches!(&key, Python::Text(key) if key == "name") {
                // Of two, Python keeps the last.
                name = if let Python::Text(value) = value { Some(value) } else { None };
            }
            self.skip_spaces();
            if self.take(',').is_none() {
                self.take('}')?;
                break;
            }
        }
        Some(name.map_or(Python::Other, Python::Named))
    }

    /// None, True, False or a number.
    fn word(&mut self) -> Option<Python> {
        let is_part = |c: char| c.is_ascii_alphanumeric() || matches!(c, '.' | '+' | '-' | '_');
        let end = self.rest.find(|c| !is_part(c)).unwrap_or(self.rest.len());
        let (word, rest) = self.rest.split_at(end);
        self.rest = rest;
        let number =
            !word.starts_with(|c: char| c.is_ascii_alphabetic()) && word.parse::<f64>().is_ok();
        (number || matches!(word, "None" | "True" | "False")).then_some(Python::Other)
    }

    fn string(&mut self) -> Option<String> {
        let quote = self.next()?;
        let mut text = String::new();
        loop {
            match self.next()? {
                c if c == quote => return Some(text),
                '\\' => self.escape(&mut text)?,
                c => text.push(c),
            }
        }
    }

    fn escape(&mut self, text: &mut String) -> Option<()> {
        match self.next()? {
            c @ ('\\' | '\'' | '"') => text.push(c),
            'n' | 'r' | 't' => text.push(' '),
            'x' => text.push(self.code_point(2)?),
            'u' => text.push(self.code_point(4)?),
            'U' => text.push(self.code_point(8)?),
            c => text.extend(['\\', c]),
        }
        Some(())
    }

    fn code_point(&mut self, digits: usize) -> Option<char> {
        let hex = self.rest.get(..digits)?;
        if !hex.bytes().all(|byte| byte.is_ascii_hexdigit()) {
            return None;
        }
        self.rest = &self.rest[digits..];
        char::from_u32(u32::from_str_radix(hex, 16).ok()?)
    }
}
