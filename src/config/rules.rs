//! The `[rules]` section (SPEC §3, §4.1): everything in it has a default.

use std::collections::{BTreeMap, BTreeSet};

use jiff::tz::TimeZone;

use super::products::products;
use super::section::{Problems, Section, nearest, texts};
use crate::facts::status_word;
use crate::rules::{
    DateOrder, EmailPattern, ProfileFilter, Rules, Status, TransactionFilter, default_status_words,
    time_zone, time_zones,
};

/// The rules of the section, with problems.
pub(super) fn rules(mut section: Section<'_>, problems: &mut Problems) -> Rules {
    let default = Rules::default();
    let zone = zone(&mut section, problems).unwrap_or(default.zone);
    let currency = currency(&mut section, problems).unwrap_or(default.currency);
    let date_order = date_order(&mut section, problems).unwrap_or(default.date_order);
    let month = section.number("fiscal_year_start_month", 1..=12, problems);
    let month = month.and_then(|month| u8::try_from(month).ok());
    let known_tags = known_tags(&mut section, problems).unwrap_or(default.known_tags);
    let products = products(&mut section, problems).unwrap_or(default.products);
    let status_words = status_words(section.section("status_words", problems), problems);
    let profiles = profiles(section.section("profiles", problems), problems);
    let codes: Vec<&str> = products.iter().map(|product| product.code.as_str()).collect();
    let transactions = transactions(section.section("transactions", problems), &codes, problems);
    let exclude = exclude(section.section("exclude", problems), problems);
    section.finish(problems);
    Rules {
        zone,
        currency,
        date_order,
        fiscal_year_start_month: month.unwrap_or(default.fiscal_year_start_month),
        known_tags,
        products,
        status_words,
        profiles,
        transactions,
        exclude,
    }
}

pub(super) fn zone(section: &mut Section<'_>, problems: &mut Problems) -> Option<TimeZone> {
    let path = section.path_of("time_zone");
    let name = section.text("time_zone", problems)?;
    // Only a zone with a name can be written down again, and hashed.
    let zone = time_zone(name).filter(|zone| zone.iana_name().is_some());
    if zone.is_none() {
        let known = time_zones();
        let hint = nearest(name, known.iter().map(String::as_str));
        problems.add(&path, format!("{name:?} is no time zone, such as \"Asia/Manila\"{hint}"));
    }
    zone
}

fn currency(section: &mut Section<'_>, problems: &mut Problems) -> Option<String> {
    let path = section.path_of("currency");
    let code = section.text("currency", problems)?.trim().to_ascii_uppercase();
    let is_code = code.len() == 3 && code.bytes().all(|byte| byte.is_ascii_uppercase());
    if !is_code {
        problems
            .add(&path, format!("{code:?} is no currency code of three letters, such as \"PHP\""));
    }
    is_code.then_some(code)
}

fn date_order(section: &mut Section<'_>, problems: &mut Problems) -> Option<DateOrder> {
    let path = section.path_of("date_order");
    match section.text("date_order", problems)? {
        "month_first" => Some(DateOrder::MonthFirst),
        "day_first" => Some(DateOrder::DayFirst),
        other => {
            problems.add(&path, format!("must be \"month_first\" or \"day_first\", not {other:?}"));
            None
        }
    }
}

fn known_tags(section: &mut Section<'_>, problems: &mut Problems) -> Option<Vec<String>> {
    let path = section.path_of("known_tags");
    let tags = section.texts("known_tags", problems)?;
    let mut seen = BTreeSet::new();
    for tag in &tags {
        if !seen.insert(tag.to_lowercase()) {
            problems.add(&path, format!("names {tag:?} twice (upper and lower case are one)"));
        }
    }
    Some(tags)
}

/// The words of SPEC §3.10, where a list replaces the default one of its status. A word that a list
/// names leaves whatever status has it by default.
fn status_words(mut section: Section<'_>, problems: &mut Problems) -> BTreeMap<String, Status> {
    let mut words = default_status_words();
    let named = status_word_list(&mut section, problems, |status| {
        words.retain(|_, owner| *owner != status);
    });
    words.extend(named);
    words
}

/// The words of a section with a list for each status. `names` is called with each status that it names.
pub(super) fn status_word_list(
    section: &mut Section<'_>,
    problems: &mut Problems,
    mut names: impl FnMut(Status),
) -> BTreeMap<String, Status> {
    let mut named: BTreeMap<String, Status> = BTreeMap::new();
    for (name, value) in section.entries() {
        let path = section.path_of(name);
        let Some(status) = Status::parse(&name.to_ascii_uppercase()) else {
            let hint = nearest(name, Status::ALL.into_iter().map(Status::as_str));
            problems.add(&path, format!("unknown status{hint}"));
            continue;
        };
        names(status);
        for text in texts(value, &path, problems).unwrap_or_default() {
            let Some(word) = status_word(&text) else {
                problems.add(&path, format!("{text:?} reads as no value at all"));
                continue;
            };
            if let Some(other) = named.insert(word, status).filter(|other| *other != status) {
                problems.add(&path, format!("{text:?} is a word of {} too", other.as_str()));
            }
        }
    }
    named
}

/// Addresses whose rows give no fact (SPEC §1).
fn exclude(mut section: Section<'_>, problems: &mut Problems) -> Vec<EmailPattern> {
    let path = section.path_of("emails");
    let written = section.texts("emails", problems).unwrap_or_default();
    section.finish(problems);
    for pattern in &written {
        if pattern.trim().chars().all(|c| c == '*') {
            problems.add(&path, format!("{pattern:?} matches every address"));
        }
    }
    written.iter().map(|written| EmailPattern::new(written)).collect()
}

fn profiles(mut section: Section<'_>, problems: &mut Problems) -> ProfileFilter {
    let tags = section.texts("tags", problems).unwrap_or_default();
    let or_payment = section.flag("or_payment", problems).unwrap_or(false);
    section.finish(problems);
    ProfileFilter { tags, or_payment }
}

fn transactions(
    mut section: Section<'_>,
    codes: &[&str],
    problems: &mut Problems,
) -> TransactionFilter {
    let path = section.path_of("statuses");
    let statuses = section.texts("statuses", problems).map(|names| {
        let mut statuses = Vec::new();
        for name in names {
            match Status::parse(&name.to_ascii_uppercase()) {
                Some(status) => statuses.push(status),
                None => {
                    let hint = nearest(&name, Status::ALL.into_iter().map(Status::as_str));
                    problems.add(&path, format!("{name:?} is no status{hint}"));
                }
            }
        }
        statuses
    });
    let path = section.path_of("products");
    let products = section.texts("products", problems);
    for code in products.iter().flatten() {
        if !codes.contains(&code.as_str()) {
            let hint = nearest(code, codes.iter().copied());
            problems.add(&path, format!("{code:?} is the code of no product{hint}"));
        }
    }
    section.finish(problems);
    TransactionFilter { statuses, products }
}
