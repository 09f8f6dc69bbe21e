//! Names: mojibake repaired, full names split, case normalised (SPEC §3.4).

use std::borrow::Cow;

use unicode_normalization::UnicodeNormalization;

use super::clean::{clean_name, is_letter};

/// Words of a surname that stay in lower case inside a name.
const LOWERCASE_PARTICLES: [&str; 13] =
    ["de", "del", "dela", "delos", "la", "las", "los", "y", "da", "dos", "di", "van", "von"];

/// Words that belong to a surname only when a full name is split; in a name they are words like others.
const SURNAME_PARTICLES: [&str; 4] = ["san", "santa", "sta", "sto"];

/// Words after a surname that belong to it.
const SUFFIXES: [&str; 5] = ["jr", "sr", "ii", "iii", "iv"];

/// The characters of Windows-1252 from 0x80 to 0x9F. The five codes it leaves open stand for themselves.
const WINDOWS_1252: [char; 32] = [
    '€', '\u{81}', '‚', 'ƒ', '„', '…', '†', '‡', 'ˆ', '‰', 'Š', '‹', 'Œ', '\u{8D}', 'Ž', '\u{8F}',
    '\u{90}', '‘', '’', '“', '”', '•', '–', '—', '˜', '™', 'š', '›', 'œ', '\u{9D}', 'ž', 'Ÿ',
];

/// A name in its two parts.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub(super) struct FullName {
    pub(super) first: Option<String>,
    pub(super) last: Option<String>,
}

/// SPEC §3.4: a first or a last name, and whether its encoding was repaired (note `mojibake`).
pub(super) fn name(raw: &str) -> (Option<String>, bool) {
    let (text, repaired) = repaired(raw);
    let name = usable(&text).map(|name| with_case(&name).into_owned());
    (name, repaired)
}

/// SPEC §3.4: a name in one text, split, and whether its encoding was repaired (note `mojibake`).
pub(super) fn full_name(raw: &str) -> (FullName, bool) {
    let (text, repaired) = repaired(raw);
    let full = usable(&text).map(|name| split(&name)).unwrap_or_default();
    (full, repaired)
}

/// SPEC §3.4: the first and the last name of a name in one text.
#[must_use]
pub fn split_name(raw: &str) -> (Option<String>, Option<String>) {
    let (full, _) = full_name(raw);
    (full.first, full.last)
}

/// The text that was read as Windows-1252 though it was UTF-8, if this is one.
fn repaired(raw: &str) -> (Cow<'_, str>, bool) {
    if raw.is_ascii() || !raw.contains(['Ã', 'Â']) {
        return (Cow::Borrowed(raw), false);
    }
    let bytes: Option<Vec<u8>> = raw.chars().map(windows_1252_byte).collect();
    match bytes.and_then(|bytes| String::from_utf8(bytes).ok()) {
        Some(text) => (Cow::Owned(text), true),
        None => (Cow::Borrowed(raw), false),
    }
}

fn windows_1252_byte(c: char) -> Option<u8> {
    match c {
        '\0'..='\x7F' | '\u{A0}'..='ÿ' => u8::try_from(u32::from(c)).ok(),
        _ => {
            let index = WINDOWS_1252.iter().position(|known| *known == c)?;
            u8::try_from(0x80 + index).ok()
        }
    }
}

/// The clean text, unless it cannot be a name: an e-mail address, or nothing with a letter.
fn usable(text: &str) -> Option<Cow<'_, str>> {
    clean_name(text).filter(|name| !name.contains('@') && name.chars().any(is_letter))
}

/// The two parts of a clean full name, each with its case normalised.
fn split(name: &str) -> FullName {
    if let Some((last, first)) = name.split_once(',')
        && !first.contains(',')
        && !first.trim().is_empty()
        && !is_suffix(first.trim())
    {
        return FullName { first: part(first.trim()), last: part(last.trim()) };
    }
    // A comma ends a word also where no space follows it, as in `Cruz,Jr.`.
    let words: Vec<&str> = name.split([' ', ',']).filter(|word| !word.is_empty()).collect();
    let suffixes = usize::from(words.len() > 1 && words.last().is_some_and(|word| is_suffix(word)));
    let surname = words.len() - suffixes;
    if surname <= 1 {
        return FullName { first: part(&words.join(" ")), last: None };
    }
    let mut start = surname - 1;
    while start > 0 && is_surname_particle(words[start - 1]) {
        start -= 1;
    }
    FullName { first: part(&words[..start].join(" ")), last: part(&words[start..].join(" ")) }
}

fn part(text: &str) -> Option<String> {
    text.chars().any(is_letter).then(|| with_case(text).into_owned())
}

fn is_suffix(word: &str) -> bool {
    let word = word.strip_suffix('.').unwrap_or(word);
    SUFFIXES.iter().any(|suffix| word.eq_ignore_ascii_case(suffix))
}

fn is_surname_particle(word: &str) -> bool {
    let word = word.strip_suffix('.').unwrap_or(word);
    let mut particles = LOWERCASE_PARTICLES.iter().chain(&SURNAME_PARTICLES);
    particles.any(|particle| word.eq_ignore_ascii_case(particle))
}

/// The name with its case normalised, where it is all in one case.
fn with_case(name: &str) -> Cow<'_, str> {
    if !is_in_one_case(name) {
        return Cow::Borrowed(name);
    }
    let mut result = String::with_capacity(name.len() + 1);
    // Lowercase depends on what stands around a letter only within a word (a final sigma).
    let lowercase = name.to_lowercase();
    for (index, word) in lowercase.split(' ').enumerate() {
        if index > 0 {
            result.push(' ');
        }
        let core = word.trim_end_matches(',');
        push_word(&mut result, core, index == 0);
        result.push_str(&word[core.len()..]);
    }
    // Raising a letter can part it from its accent (İ in lower case is two characters).
    Cow::Owned(if result.is_ascii() { result } else { result.nfc().collect() })
}

/// Two or more letters, every one with a case, and all with the same.
fn is_in_one_case(name: &str) -> bool {
    let (mut upper, mut lower) = (0, 0);
    for c in name.chars().filter(|c| is_letter(*c)) {
        match c {
            c if c.is_uppercase() => upper += 1,
            c if c.is_lowercase() => lower += 1,
            _ => return false,
        }
    }
    upper + lower > 1 && (upper == 0 || lower == 0)
}

/// Appends one word, given in lower case.
fn push_word(result: &mut String, word: &str, first: bool) {
    match word {
        "jr" | "jr." => result.push_str("Jr."),
        "sr" | "sr." => result.push_str("Sr."),
        "ii" | "iii" | "iv" | "ii." | "iii." | "iv." => result.push_str(&word.to_ascii_uppercase()),
        _ if !first && LOWERCASE_PARTICLES.contains(&word) => result.push_str(word),
        _ => push_raised(result, word),
    }
}

/// Raises the first letter of the word and of each part of it.
fn push_raised(result: &mut String, word: &str) {
    let mut raise = true;
    for c in word.chars() {
        if raise && is_letter(c) {
            push_title_case(result, c);
            raise = false;
        } else {
            result.push(c);
            raise |= matches!(c, '-' | '\'' | '’' | '.');
        }
    }
}

/// Title case where it differs from upper case: digraphs, letters that become two, and Georgian, which
/// begins no word with a capital.
fn push_title_case(result: &mut String, c: char) {
    match c {
        'a'..='z' => result.push(c.to_ascii_uppercase()),
        'ǆ' => result.push('ǅ'),
        'ǉ' => result.push('ǈ'),
        'ǌ' => result.push('ǋ'),
        'ǳ' => result.push('ǲ'),
        'ა'..='ჿ' => result.push(c),
        _ => {
            let mut upper = c.to_uppercase();
            result.extend(upper.next());
            result.extend(upper.flat_map(char::to_lowercase));
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn case_is_mended_as_spec_3_4_says() {
        let check = |raw: &str, expected: Option<&str>| {
            assert_eq!(name(raw).0.as_deref(), expected, "{raw}");
        };
        check("ANA", Some("Ana"));
        check("ana maria", Some("Ana Maria"));
        check("MA. CRISTINA", Some("Ma. Cristina"));
        check("O'BRIEN", Some("O'Brien"));
        check("o’brien-cruz", Some("O’Brien-Cruz"));
        check("J.R.", Some("J.R."));
        check("j.p. rizal", Some("J.P. Rizal"));
        check("DELA CRUZ", Some("Dela Cruz"));
        check("CRUZ DE LA PEÑA", Some("Cruz de la Peña"));
        check("dela cruz jr.", Some("Dela Cruz Jr."));
        check("CRUZ JR", Some("Cruz Jr."));
        check("CRUZ SR.", Some("Cruz Sr."));
        check("CRUZ, JR", Some("Cruz, Jr."));
        check("santos iii", Some("Santos III"));
        check("III", Some("III"));
        check("STA. ANA", Some("Sta. Ana"));
        check("cruz van von", Some("Cruz van von"));
        check("McArthur", Some("McArthur"));
        check("dela Cruz", Some("dela Cruz"));
        check("Cruz Jr", Some("Cruz Jr"));
        check("j", Some("j"));
        check("J", Some("J"));
        check("j.", Some("j."));
        check("李 ana", Some("李 ana"));
        check("MARÍA JOSÉ", Some("María José"));
        check("ÑINO", Some("Ñino"));
        check("ИВАН", Some("Иван"));
        check("ΓΙΩΡΓΟΣ", Some("Γιωργος"));
        check("ßa", Some("Ssa"));
        check("İPEK", Some("İpek"));
        check("ნინო", Some("ნინო"));
        check("(ana)", Some("(Ana)"));
        check("ana@example.com", None);
        check("12345", None);
        check("???", None);
        check("DE LEON-DELA CRUZ", Some("De Leon-Dela Cruz"));
        check("3ANA", Some("3Ana"));
        check("ANA-", Some("Ana-"));
        check("JR", Some("Jr."));
        check("sr.", Some("Sr."));
        check("REYES IV.", Some("Reyes IV."));
        check("ÀB", Some("Àb"));
        check("x1", Some("x1"));
        check("Y", Some("Y"));
        check("MARIA\u{a0}\u{200b}DE LOS ANGELES", Some("Maria de los Angeles"));
        check("MARIA DE LAS NIEVES Y SANTOS", Some("Maria de las Nieves y Santos"));
        check("ʻOKINA", Some("ʻOKINA"));
        check("undefined", Some("Undefined"));
        check("N/A", None);
        check("-- ", None);
        check("NULL", Some("Null"));
        check("NA", Some("Na"));
        check("none", None);
        check(" \u{200b} ", None);
    }

    #[test]
    fn encodings_are_mended_as_spec_3_4_says() {
        let check = |raw: &str, expected: Option<&str>, mojibake: bool| {
            let (repaired, note) = name(raw);
            assert_eq!((repaired.as_deref(), note), (expected, mojibake), "{raw}");
        };
        check("PeÃ±a", Some("Peña"), true);
        check("JosÃ©", Some("José"), true);
        check("Ã‘ino", Some("Ñino"), true);
        check("MarÃ\u{ad}a", Some("María"), true);
        check("Ã\u{81}lvaro", Some("Álvaro"), true);
        check("AnaÂ\u{a0}Cruz", Some("Ana Cruz"), true);
        check("Oâ€™Brien", Some("Oâ€™Brien"), false);
        check("Oâ€™Brien PeÃ±a", Some("O’Brien Peña"), true);
        check("JOÃO", Some("João"), false);
        check("Ã", Some("Ã"), false);
        check("PeÃ±a 李", Some("PeÃ±a 李"), false);
        check("PeÃ\u{80}a", Some("PeÃa"), false);
        check("PEÃ‘A", Some("Peña"), true);
        check("Ã\u{8d}ris", Some("Íris"), true);
        check("Ã\u{8f}vo", Some("Ïvo"), true);
        check("Ã\u{9d}ra", Some("Ýra"), true);
        check("Nâ€‹a", Some("Nâ€‹a"), false);
        check("NÂ\u{ad}a", Some("Na"), true);
        check("A\u{303}±a", Some("Ã±a"), false);
        check("Ã±@example.com", None, true);
        check("Â\u{a0}", None, true);
    }

    #[test]
    fn full_names_are_split_as_spec_3_4_says() {
        let check = |raw: &str, first: Option<&str>, last: Option<&str>| {
            let (full, _) = full_name(raw);
            assert_eq!((full.first.as_deref(), full.last.as_deref()), (first, last), "{raw}");
        };
        check("Ana Cruz", Some("Ana"), Some("Cruz"));
        check("JUAN DELA CRUZ", Some("Juan"), Some("Dela Cruz"));
        check("juan de la cruz jr", Some("Juan"), Some("De la Cruz Jr."));
        check("Maria Sta. Ana", Some("Maria"), Some("Sta. Ana"));
        check("Jose San Juan III", Some("Jose"), Some("San Juan III"));
        check("Cruz, Ana", Some("Ana"), Some("Cruz"));
        check("DELA CRUZ,JUAN JR.", Some("Juan Jr."), Some("Dela Cruz"));
        check("Cruz Jr., Juan", Some("Juan"), Some("Cruz Jr."));
        check("Juan Cruz, Jr.", Some("Juan"), Some("Cruz Jr."));
        check("Juan Cruz, iii", Some("Juan"), Some("Cruz iii"));
        check("Cruz, Ana, Jr.", Some("Cruz"), Some("Ana Jr."));
        check("Ana Cruz,", Some("Ana"), Some("Cruz"));
        check("Juan Cruz,Jr.", Some("Juan"), Some("Cruz Jr."));
        check("JUAN CRUZ ,JR", Some("Juan"), Some("Cruz Jr."));
        check("Ma. Cristina dela Cruz Jr.", Some("Ma. Cristina"), Some("dela Cruz Jr."));
        check("MA. CRISTINA DELA CRUZ JR.", Some("Ma. Cristina"), Some("Dela Cruz Jr."));
        check("JUAN dela cruz", Some("Juan"), Some("Dela Cruz"));
        check("juan Cruz", Some("Juan"), Some("Cruz"));
        check("CRUZ, juan", Some("Juan"), Some("Cruz"));
        check("J CRUZ", Some("J"), Some("Cruz"));
        check("j. cruz", Some("j."), Some("Cruz"));
        check("maria DE. LOS sto. NIÑO Iv", Some("Maria"), Some("DE. LOS sto. NIÑO Iv"));
        check("ROSE SANTA ANA", Some("Rose"), Some("Santa Ana"));
        check("jose ma. y cruz", Some("Jose Ma."), Some("Y Cruz"));
        check("Juan Jr. Cruz", Some("Juan Jr."), Some("Cruz"));
        check("Jr. Cruz Jr.", Some("Jr."), Some("Cruz Jr."));
        check("IV, Juan", Some("Juan"), Some("IV"));
        check("李 CRUZ", Some("李"), Some("Cruz"));
        check("李小龍", Some("李小龍"), None);
        check("Null Cruz", Some("Null"), Some("Cruz"));
        check("Na", Some("Na"), None);
        check("123 Cruz", None, Some("Cruz"));
        check("Cruz, 123", None, Some("Cruz"));
        check("Ana Cruz 2", Some("Ana Cruz"), None);
        check(", Ana", Some("Ana"), None);
        check("Ana", Some("Ana"), None);
        check("JUAN JR", Some("Juan Jr."), None);
        check("Jr.", Some("Jr."), None);
        check("Dela Cruz", None, Some("Dela Cruz"));
        check("Juan Cruz Jr III", Some("Juan Cruz"), Some("Jr III"));
        check("Ana 123", Some("Ana"), None);
        check("Ana - Cruz", Some("Ana -"), Some("Cruz"));
        check("Ana J", Some("Ana"), Some("J"));
        check("Ma. Cristina Reyes", Some("Ma. Cristina"), Some("Reyes"));
        check("JUAN PeÃ±a", Some("Juan"), Some("Peña"));
        check("ana@example.com", None, None);
        check("n/a", None, None);
        check("123 456", None, None);
    }

    proptest! {
        #[test]
        fn no_text_panics(raw in any::<String>()) {
            let _ = (name(&raw), full_name(&raw));
        }

        #[test]
        fn near_names_are_stable(raw in "([A-Z]{1,6}|[a-z]{1,6}|de|DELA|jr\\.?|III|,|[Ññéß'’.-]| ){0,8}") {
            if let (Some(once), _) = name(&raw) {
                prop_assert_eq!(name(&once).0, Some(once));
            }
            let _ = full_name(&raw);
        }
    }
}
