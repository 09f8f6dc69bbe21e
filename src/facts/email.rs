//! The matching key of a person (SPEC §3.2), and the key that only suggests duplicates (SPEC §3.3).

use idna::uts46::{AsciiDenyList, DnsLength, Hyphens, Uts46};
use strsim::osa_distance;
use unicode_script::{Script, UnicodeScript};

use super::clean::{clean_compatible, is_format, is_letter, is_letter_or_digit};
use super::{EmailKey, EmailReason};

/// Longest local part, in bytes (RFC 5321).
const LOCAL_BYTES: usize = 64;

/// Longest address, in bytes (RFC 5321).
const ADDRESS_BYTES: usize = 254;

/// Longest domain label, in bytes (RFC 1035).
const LABEL_BYTES: usize = 63;

/// The characters of a local part besides letters, digits and the dot (RFC 5322 `atext`).
const LOCAL_SYMBOLS: &str = "!#$%&'*+/=?^_`{|}~-";

/// The domains that a slip of the finger is read as (SPEC §3.3).
const WELL_KNOWN_DOMAINS: [&str; 17] = [
    "gmail.com",
    "googlemail.com",
    "yahoo.com",
    "yahoo.com.ph",
    "ymail.com",
    "rocketmail.com",
    "hotmail.com",
    "outlook.com",
    "live.com",
    "msn.com",
    "icloud.com",
    "me.com",
    "aol.com",
    "proton.me",
    "protonmail.com",
    "mail.com",
    "email.com",
];

/// SPEC §3.2: the matching key of a raw e-mail text, or why there is none, and whether the text holds a
/// character that does not show (note `invisible_character`; never with `Missing` or `Bidi`).
pub fn email_key(raw: &str) -> (Result<EmailKey, EmailReason>, bool) {
    match plain_key(raw) {
        Some(key) => (Ok(key), false),
        None => any_key(raw),
    }
}

/// The key of a text that is nothing but an ASCII address, as most are: nothing is there to take off, to
/// mix or to encode.
fn plain_key(raw: &str) -> Option<EmailKey> {
    let at = raw.bytes().position(|byte| byte == b'@')?;
    let (local, domain) = (raw.get(..at)?, raw.get(at + 1..)?);
    let plain_local = (1..=LOCAL_BYTES).contains(&local.len())
        && !local.starts_with('.')
        && !local.ends_with('.')
        && !local.contains("..")
        && local
            .bytes()
            .all(|b| b.is_ascii_alphanumeric() || matches!(b, b'.' | b'_' | b'-' | b'+'));
    if !plain_local || raw.len() > ADDRESS_BYTES {
        return None;
    }
    let (mut labels, mut last) = (0, "");
    for label in domain.split('.') {
        let plain = (1..=LABEL_BYTES).contains(&label.len())
            && label.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'-')
            && !label.starts_with('-')
            && !label.ends_with('-')
            && !label.get(..4).is_some_and(|start| start.eq_ignore_ascii_case("xn--"));
        if !plain {
            return None;
        }
        labels += 1;
        last = label;
    }
    let top = labels > 1 && last.len() > 1 && !last.bytes().all(|byte| byte.is_ascii_digit());
    top.then(|| EmailKey::trusted(raw.to_ascii_lowercase()))
}

fn any_key(raw: &str) -> (Result<EmailKey, EmailReason>, bool) {
    let Some(text) = clean_compatible(raw) else {
        return (Err(EmailReason::Missing), false);
    };
    if raw.chars().any(is_bidi_control) {
        return (Err(EmailReason::Bidi), false);
    }
    let invisible = raw.chars().any(is_format);
    (key_of(&unwrapped(&text).to_lowercase()), invisible)
}

fn is_bidi_control(c: char) -> bool {
    matches!(c, '\u{202A}'..='\u{202E}' | '\u{2066}'..='\u{2069}')
}

/// The address out of what people and mail programs put around it.
fn unwrapped(text: &str) -> &str {
    let text = match text.get(..7) {
        Some(scheme) if scheme.eq_ignore_ascii_case("mailto:") => text[7..].trim(),
        _ => text,
    };
    let text = in_angle_brackets(text).unwrap_or(text).trim();
    let text = in_quotes(text).unwrap_or(text).trim();
    text.trim_end_matches(['.', ',', ';', ' ']).trim()
}

/// `addr` of a text that is as a whole `Name <addr>`. A list of addresses is not one.
fn in_angle_brackets(text: &str) -> Option<&str> {
    let (name, address) = text.strip_suffix('>')?.split_once('<')?;
    let list = name.contains('@') && name.contains([',', ';']) && !name.trim_end().ends_with('"');
    (!list && !name.contains('>') && !address.contains(['<', '>'])).then_some(address)
}

fn in_quotes(text: &str) -> Option<&str> {
    [('"', '"'), ('\'', '\''), ('“', '”'), ('‘', '’')]
        .into_iter()
        .find_map(|(open, close)| text.strip_prefix(open)?.strip_suffix(close))
}

fn key_of(text: &str) -> Result<EmailKey, EmailReason> {
    let addresses = text.split([',', ';', '/', ' ']).filter(|part| part.contains('@'));
    if addresses.count() > 1 {
        return Err(EmailReason::Multiple);
    }
    let (local, domain) = text.split_once('@').ok_or(EmailReason::Invalid)?;
    if domain.contains('@') || !is_local_part(local) {
        return Err(EmailReason::Invalid);
    }
    let domain = ascii_domain(domain).ok_or(EmailReason::Invalid)?;
    let key = format!("{local}@{domain}");
    if key.len() > ADDRESS_BYTES {
        return Err(EmailReason::Invalid);
    }
    if is_confusable(local) || has_confusable_label(&domain) {
        return Err(EmailReason::Confusable);
    }
    Ok(EmailKey::trusted(key))
}

fn is_local_part(local: &str) -> bool {
    (1..=LOCAL_BYTES).contains(&local.len())
        && !local.starts_with('.')
        && !local.ends_with('.')
        && !local.contains("..")
        && local.chars().all(|c| c == '.' || is_letter_or_digit(c) || LOCAL_SYMBOLS.contains(c))
}

/// The domain in ASCII, if mail could be sent to it.
fn ascii_domain(domain: &str) -> Option<String> {
    let plain = domain.bytes().all(|b| matches!(b, b'a'..=b'z' | b'0'..=b'9' | b'-' | b'.'))
        && !domain.contains("xn--");
    let ascii = if plain {
        domain.to_owned()
    } else {
        let (deny, hyphens) = (AsciiDenyList::STD3, Hyphens::Allow);
        // Lengths are checked below: the library lets a root dot pass in places.
        Uts46::new()
            .to_ascii(domain.as_bytes(), deny, hyphens, DnsLength::Ignore)
            .ok()?
            .into_owned()
    };
    let mut labels = 0;
    let mut last = "";
    for label in ascii.split('.') {
        if !is_label(label) {
            return None;
        }
        labels += 1;
        last = label;
    }
    let top = last.len() > 1 && !last.bytes().all(|b| b.is_ascii_digit());
    (labels > 1 && top).then_some(ascii)
}

fn is_label(label: &str) -> bool {
    (1..=LABEL_BYTES).contains(&label.len())
        && label.bytes().all(|b| matches!(b, b'a'..=b'z' | b'0'..=b'9' | b'-'))
        && !label.starts_with('-')
        && !label.ends_with('-')
}

/// Latin letters together with the Cyrillic or Greek ones that look like them.
fn is_confusable(text: &str) -> bool {
    if text.is_ascii() {
        return false;
    }
    let mut latin = false;
    let mut lookalike = false;
    for c in text.chars().filter(|c| is_letter(*c)) {
        match c.script() {
            Script::Latin => latin = true,
            Script::Cyrillic | Script::Greek => lookalike = true,
            _ => {}
        }
    }
    latin && lookalike
}

fn has_confusable_label(ascii_domain: &str) -> bool {
    if !ascii_domain.contains("xn--") {
        return false;
    }
    let (deny, hyphens) = (AsciiDenyList::STD3, Hyphens::Allow);
    let (shown, _) = Uts46::new().to_unicode(ascii_domain.as_bytes(), deny, hyphens);
    shown.split('.').any(is_confusable)
}

/// SPEC §3.3: what addresses of one person tend to have in common. Only suggests, never matches.
#[must_use]
pub fn canonical_key(key: &EmailKey) -> String {
    let Some((local, domain)) = key.as_str().split_once('@') else {
        return key.as_str().to_owned();
    };
    let domain = intended_domain(domain);
    let local = match local.split_once('+') {
        Some((base, _)) if !base.is_empty() => base,
        _ => local,
    };
    if matches!(domain, "gmail.com" | "googlemail.com") {
        return format!("{}@gmail.com", local.replace('.', ""));
    }
    format!("{local}@{domain}")
}

/// Whether all but two bytes of two domains are equal from one end or the other: what one edit leaves, and cheaper than to
/// measure it.
fn may_be_near(a: &str, b: &str) -> bool {
    let equal = |(a, b): &(u8, u8)| a == b;
    let from_start = a.bytes().zip(b.bytes()).take_while(equal).count();
    let from_end = a.bytes().rev().zip(b.bytes().rev()).take_while(equal).count();
    from_start + from_end + 2 >= a.len().max(b.len())
}

/// The one well-known domain that is a slip away, else the domain itself.
fn intended_domain(domain: &str) -> &str {
    if WELL_KNOWN_DOMAINS.contains(&domain) {
        return domain;
    }
    let near = |known: &&&str| may_be_near(known, domain) && osa_distance(known, domain) == 1;
    let mut candidates = WELL_KNOWN_DOMAINS.iter().filter(near);
    match (candidates.next(), candidates.next()) {
        (Some(only), None) => only,
        _ => domain,
    }
}

#[cfg(test)]
mod tests;
