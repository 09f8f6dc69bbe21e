//! What of the configuration changes the answer, as short stable texts.
//!
//! The daemon stores both hashes in the target. When either differs at start, stored rows are placed again and everybody is
//! recomputed from their raw values: a rebuild, which reads nothing from the source. That other columns are read is noticed
//! by the record of the feed (`tributary.feed`), and a reconcile follows. A backfill that began under other rules starts
//! over.

use std::fmt::Write as _;

use super::mapping::written;
use super::{Config, FeedConfig};
use crate::rules::{DateOrder, EmailPattern, NAMESPACE, Product};

/// Version of the row rules in the code ([`crate::facts`]). Whoever changes what a row gives raises it,
/// so that an upgrade rebuilds.
const FACTS_VERSION: u32 = 4;

/// Version of the rules of people in the code ([`crate::unify`]), raised likewise.
const PEOPLE_VERSION: u32 = 3;

impl Config {
    /// Of everything that the fact of a source row depends on: mappings, zone, currency, order of
    /// dates, known tags, status words, codes and phrases of products.
    #[must_use]
    pub fn facts_hash(&self) -> String {
        hash(&self.facts_text())
    }

    /// Of all rules and the target tables.
    #[must_use]
    pub fn people_hash(&self) -> String {
        hash(&self.people_text())
    }

    /// Of everything that changes the answer.
    #[must_use]
    pub fn rules_hash(&self) -> String {
        hash(&format!("{}{}", self.facts_text(), self.people_text()))
    }

    fn facts_text(&self) -> String {
        let mut lines = Lines::default();
        lines.add("facts", [FACTS_VERSION.to_string()]);
        for feed in &self.source.feeds {
            lines.feed(feed);
        }
        self.row_rules(&mut lines);
        lines.0
    }

    fn row_rules(&self, lines: &mut Lines) {
        let rules = &self.rules;
        lines.add("zone", rules.zone.iana_name());
        lines.add("currency", [&rules.currency]);
        lines.add("date_order", [date_order(rules.date_order)]);
        let mut tags = rules.known_tags.clone();
        tags.sort();
        lines.add("known_tags", tags);
        for (word, status) in &rules.status_words {
            lines.add("status_word", [word.as_str(), status.as_str()]);
        }
        lines.add("exclude", rules.exclude.iter().map(EmailPattern::as_str));
        for Product { code, phrases, .. } in &rules.products {
            lines.add("product", [code].into_iter().chain(phrases));
        }
    }

    fn people_text(&self) -> String {
        let (rules, target) = (&self.rules, self.target.lasting());
        let mut lines = Lines::default();
        lines.add("people", [PEOPLE_VERSION.to_string()]);
        for table in [&target.profiles, &target.transactions, &target.enrollments, &target.courses]
        {
            lines.add("target", [written(table)]);
        }
        self.row_rules(&mut lines);
        lines.add("fiscal_year_start_month", [rules.fiscal_year_start_month.to_string()]);
        for product in &rules.products {
            let Product { code, name, id, kind, phrases: _, course, access_days, tag } = product;
            let days = access_days.map_or("lifetime".into(), |days| days.to_string());
            let values = [code, name, &id.to_string(), kind, &course.to_string(), &days];
            lines.add("product", values.into_iter().chain(tag));
        }
        lines.add("profiles", &rules.profiles.tags);
        lines.add("or_payment", [rules.profiles.or_payment.to_string()]);
        if let Some(statuses) = &rules.transactions.statuses {
            lines.add("statuses", statuses.iter().map(|status| status.as_str()));
        }
        if let Some(products) = &rules.transactions.products {
            lines.add("products", products);
        }
        lines.0
    }
}

/// One line a fact: a name and quoted values, so that no two configurations give one text.
#[derive(Default)]
struct Lines(String);

impl Lines {
    fn add<V: AsRef<str>>(&mut self, name: &str, values: impl IntoIterator<Item = V>) {
        self.0.push_str(name);
        for value in values {
            // Writing to a String cannot fail.
            let _ = write!(self.0, " {:?}", value.as_ref());
        }
        self.0.push('\n');
    }

    fn feed(&mut self, feed: &FeedConfig) {
        let FeedConfig { name, provider, rank, primary, table, key, .. } = feed;
        let (rank, primary) = (rank.to_string(), primary.to_string());
        let kind = feed.fields.kind().as_str();
        self.add("feed", [name.as_str(), kind, provider, &rank, &primary]);
        self.add("table", [&table.schema, &table.name]);
        self.add("key", key);
        for (field, sources) in feed.fields.named() {
            self.add(field, sources.iter().map(|source| format!("{source:?}")));
        }
        self.add("amount_unit", [format!("{:?}", feed.amount_unit)]);
        for (word, status) in &feed.status_words {
            self.add("status_word", [word.as_str(), status.as_str()]);
        }
        self.add("skip", feed.skip.iter().map(|rule| format!("{rule:?}")));
    }
}

/// The word in the file.
pub(super) fn date_order(order: DateOrder) -> &'static str {
    match order {
        DateOrder::MonthFirst => "month_first",
        DateOrder::DayFirst => "day_first",
    }
}

fn hash(text: &str) -> String {
    crate::digest::uuid_v5(&NAMESPACE, text.as_bytes()).to_string()
}
