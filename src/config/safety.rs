//! `[backup]` and `[validate]`: the way back, and what is expected to be there (SPEC §9).

use std::collections::BTreeMap;
use std::ops::RangeInclusive;

use toml::Value;

use super::section::{Problems, Section, expect};
use super::show::Page;

/// Copies of the target tables that are taken before a backfill.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Backups {
    /// Whether they are taken.
    pub enabled: bool,
    /// How many stay: the newest.
    pub keep: u32,
    /// Most space that the copies may take, the new ones included, in MiB; 0: no limit.
    pub max_mib: u32,
}

impl Default for Backups {
    fn default() -> Self {
        Self { enabled: true, keep: 3, max_mib: 10_240 }
    }
}

/// What the validation pack expects to find, as far as that is known.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Expectations {
    /// Profiles of people with facts.
    pub people: Option<RangeInclusive<i64>>,
    /// Transactions.
    pub transactions: Option<RangeInclusive<i64>>,
    /// Enrollments.
    pub enrollments: Option<RangeInclusive<i64>>,
    /// Successful payments by product code.
    pub paid: BTreeMap<String, RangeInclusive<i64>>,
    /// Sum of the successful payments by currency.
    pub totals: BTreeMap<String, RangeInclusive<i64>>,
}

pub(super) fn backup(mut section: Section<'_>, problems: &mut Problems) -> Backups {
    let default = Backups::default();
    let enabled = section.flag("enabled", problems).unwrap_or(default.enabled);
    let keep = section.number("keep", 1..=1000, problems).unwrap_or(default.keep);
    let max_mib = section.number("max_mib", 0..=u32::MAX, problems).unwrap_or(default.max_mib);
    section.finish(problems);
    Backups { enabled, keep, max_mib }
}

pub(super) fn validate(
    mut section: Section<'_>,
    products: &[String],
    problems: &mut Problems,
) -> Expectations {
    let mut one = |key| {
        let path = section.path_of(key);
        section.value(key).and_then(|value| range(value, &path, problems))
    };
    let (people, transactions) = (one("people"), one("transactions"));
    let enrollments = one("enrollments");
    let paid = ranges(section.section("paid", problems), problems);
    for code in paid.keys().filter(|code| !products.contains(code)) {
        problems.add(&section.path_of("paid"), format!("no product has the code {code}"));
    }
    let totals = ranges(section.section("totals", problems), problems);
    section.finish(problems);
    Expectations { people, transactions, enrollments, paid, totals }
}

fn ranges(
    mut section: Section<'_>,
    problems: &mut Problems,
) -> BTreeMap<String, RangeInclusive<i64>> {
    let mut all = BTreeMap::new();
    for (key, value) in section.entries() {
        let path = section.path_of(key);
        if let Some(range) = range(value, &path, problems) {
            all.insert(key.to_owned(), range);
        }
    }
    all
}

fn range(value: &Value, path: &str, problems: &mut Problems) -> Option<RangeInclusive<i64>> {
    let ends = value.as_array().and_then(|ends| match ends.as_slice() {
        [least, most] => Some((least.as_integer()?, most.as_integer()?)),
        _ => None,
    });
    let range = ends.filter(|(least, most)| least <= most).map(|(least, most)| least..=most);
    expect(range, value, path, "two whole numbers, the least and the most: [100, 200]", problems)
}

pub(super) fn show(backups: &Backups, expected: &Expectations, page: &mut Page) {
    page.table("backup");
    page.raw("enabled", backups.enabled);
    page.raw("keep", backups.keep);
    page.raw("max_mib", backups.max_mib);
    let Expectations { people, transactions, enrollments, paid, totals } = expected;
    let ends = |range: &RangeInclusive<i64>| format!("[{}, {}]", range.start(), range.end());
    page.table("validate");
    let named = [("people", people), ("transactions", transactions), ("enrollments", enrollments)];
    for (name, range) in named {
        if let Some(range) = range {
            page.raw(name, ends(range));
        }
    }
    for (name, map) in [("paid", paid), ("totals", totals)] {
        if !map.is_empty() {
            page.table(&format!("validate.{name}"));
        }
        for (key, range) in map {
            page.raw(&format!("{key:?}"), ends(range));
        }
    }
}
