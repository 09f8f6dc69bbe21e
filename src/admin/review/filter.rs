//! The filter of the queue as it stands in an address. What was searched for may name a customer, so that the address
//! holds a random name of it alone (P14).

use std::collections::VecDeque;
use std::sync::{Mutex, PoisonError};

use rust_decimal::Decimal;
use serde::Deserialize;
use uuid::Uuid;

use crate::review::queue::{About, Filter, Order, Status};
use crate::unify::{ConflictKind, Severity};

/// Searches that are remembered, of all sessions; the oldest one gives way.
const REMEMBERED: usize = 1_000;

/// Texts that were searched for, by random names.
#[derive(Default)]
pub(crate) struct Searches(Mutex<VecDeque<(String, String)>>);

impl Searches {
    /// Remembers a text; its name.
    pub(super) fn add(&self, text: &str) -> String {
        let name = Uuid::new_v4().simple().to_string();
        let mut all = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if all.len() >= REMEMBERED {
            all.pop_front();
        }
        all.push_back((name.clone(), text.to_owned()));
        name
    }

    fn get(&self, name: &str) -> Option<String> {
        let all = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        all.iter().find(|(known, _)| known == name).map(|(_, text)| text.clone())
    }
}

/// As the address has it. What cannot be read is left out.
#[derive(Debug, Clone, Default, Deserialize)]
#[serde(default)]
pub(super) struct Query {
    pub(super) status: String,
    pub(super) severity: String,
    pub(super) kind: String,
    pub(super) feed: String,
    pub(super) days: String,
    pub(super) amount: String,
    pub(super) order: String,
    pub(super) q: String,
    pub(super) after: String,
}

impl Query {
    /// What it selects.
    pub(super) fn filter(&self, searches: &Searches) -> Filter {
        Filter {
            status: match self.status.as_str() {
                "dismissed" => Status::Dismissed,
                "resolved" => Status::Resolved,
                _ => Status::Open,
            },
            severity: if self.severity == "info" { Severity::Info } else { Severity::Review },
            kind: ConflictKind::parse(&self.kind),
            feed: Some(self.feed.clone()).filter(|feed| is_word(feed)),
            days: self.days.parse().ok().filter(|days| (1..=36_500).contains(days)),
            amount: self.amount.parse::<Decimal>().ok(),
            about: self.about(searches),
            order: match self.order.as_str() {
                "newest" => Order::Newest,
                // Notes are about no money.
                "amount" if self.severity != "info" => Order::Amount,
                _ => Order::Oldest,
            },
        }
    }

    /// What was searched for is about nobody once it is forgotten: a decision about all that match must not be one about everything.
    fn about(&self, searches: &Searches) -> About {
        match searches.get(&self.q) {
            Some(text) => About::parse(&text),
            None if self.q.is_empty() => About::Anything,
            None => About::Nothing,
        }
    }

    /// What was searched for.
    pub(super) fn text(&self, searches: &Searches) -> String {
        searches.get(&self.q).unwrap_or_default()
    }

    /// As an address has it, without the place in the list. Only what is not usual.
    pub(super) fn encoded(&self, filter: &Filter) -> String {
        let mut parts = Vec::new();
        let mut add = |name: &str, value: &str, usual: &str| {
            if value != usual {
                parts.push(format!("{name}={value}"));
            }
        };
        add("status", filter.status.as_str(), "open");
        add("severity", filter.severity.as_str(), "review");
        add("kind", filter.kind.map_or("", ConflictKind::as_str), "");
        add("feed", filter.feed.as_deref().unwrap_or(""), "");
        add("days", &filter.days.map(|days| days.to_string()).unwrap_or_default(), "");
        add("amount", &filter.amount.map(|amount| amount.to_string()).unwrap_or_default(), "");
        add("order", filter.order.as_str(), "oldest");
        add("q", if is_word(&self.q) { &self.q } else { "" }, "");
        parts.join("&")
    }
}

/// Letters of our own names: nothing that must be escaped.
fn is_word(text: &str) -> bool {
    !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'_')
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_address_says_what_is_not_usual_and_never_what_was_searched_for() {
        let searches = Searches::default();
        let q = searches.add("maria@example.com");
        let query = Query {
            kind: "underpaid".into(),
            severity: "review".into(),
            feed: "xendit\"><script>".into(),
            amount: "100.50".into(),
            order: "amount".into(),
            q: q.clone(),
            ..Query::default()
        };
        let filter = query.filter(&searches);
        assert_eq!(filter.about, About::Person("maria@example.com".into()));
        let encoded = query.encoded(&filter);
        assert_eq!(encoded, format!("kind=underpaid&amount=100.50&order=amount&q={q}"));
        assert_eq!(Query::default().encoded(&Filter::default()), "");
        // Another process does not know the search.
        assert_eq!(query.filter(&Searches::default()).about, About::Nothing);
        assert_eq!(Query::default().filter(&searches).about, About::Anything);
    }
}
