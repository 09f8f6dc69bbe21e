//! What the source's rows imply, counted from the decisions of the write path, beside what the tables hold.

use std::collections::{BTreeMap, BTreeSet};

use uuid::Uuid;

use crate::apply::Applier;
use crate::engine::diff::OwnerWrite;
use crate::engine::rows::{RowPlan, Touched};
use crate::error::Result;
use crate::pg::Tx;
use crate::rules::{Product, Status};

/// Owners decided in one transaction.
const OWNERS: i64 = 500;

/// Where the columns are in the values of a write.
const STATUS: usize = 4;
const PRODUCT: usize = 12;
const TAGS: usize = 5;

/// Counts by the name of a figure.
#[derive(Debug, Default)]
pub(super) struct Expected {
    pub(super) counts: BTreeMap<String, u64>,
}

/// The names of the figures of a product.
pub(super) fn payments_of(product: &Product) -> String {
    format!("successful_payments.{}", product.code)
}

/// The tags of products, each once.
pub(super) fn tags(products: &[Product]) -> BTreeSet<&str> {
    products.iter().filter_map(|product| product.tag.as_deref()).collect()
}

/// The name of the figure of a tag.
pub(super) fn tagged(tag: &str) -> String {
    format!("tagged.{tag}")
}

/// Decides everybody once more, in pages, notes the transactions that payments give, and counts.
pub(super) async fn expected(applier: &mut Applier) -> Result<Expected> {
    let mut expected = Expected::default();
    for name in ["people", "transactions", "enrollments"] {
        expected.counts.insert(name.to_owned(), 0);
    }
    for product in &applier.env.rules.products {
        expected.counts.insert(payments_of(product), 0);
    }
    for tag in tags(&applier.env.rules.products) {
        expected.counts.insert(tagged(tag), 0);
    }
    let tx = applier.begin().await?;
    let empty = "delete from tributary_supported";
    tx.execute("target: noting transactions", empty, &[]).await?;
    tx.commit().await?;
    let mut after = String::new();
    loop {
        let tx = applier.begin().await?;
        let page = applier.next_owners(&after, OWNERS).await?;
        let Some(last) = page.last().cloned() else {
            tx.rollback().await?;
            return Ok(expected);
        };
        after = last;
        let mut parts = vec![Touched::owners(page)];
        let mut none = RowPlan::default();
        while let Some(found) = applier.next_expected(&tx, &mut none, &mut parts).await? {
            note(&tx, &found.writes).await?;
            for write in &found.writes {
                expected.add(write, &applier.env.rules.products);
            }
        }
        tx.commit().await?;
    }
}

async fn note(tx: &Tx, writes: &[OwnerWrite]) -> Result<()> {
    let transactions = writes.iter().flat_map(|write| &write.transactions);
    let ids: Vec<Uuid> = transactions.map(|transaction| transaction.id).collect();
    let sql =
        "insert into tributary_supported select * from unnest($1::uuid[]) on conflict do nothing";
    tx.execute("target: noting transactions", sql, &[&ids]).await?;
    Ok(())
}

impl Expected {
    fn count(&mut self, name: &str, more: usize) {
        *self.counts.entry(name.to_owned()).or_default() += more as u64;
    }

    fn add(&mut self, write: &OwnerWrite, products: &[Product]) {
        self.count("people", usize::from(write.profile.is_some()));
        self.count("transactions", write.transactions.len());
        self.count("enrollments", write.enrollments.as_ref().map_or(0, Vec::len));
        for product in products {
            let id = product.id.to_string();
            let successful = write.transactions.iter().filter(|transaction| {
                let status = transaction.values[STATUS].as_deref().and_then(Status::parse);
                status.is_some_and(Status::is_successful)
                    && transaction.values[PRODUCT].as_ref() == Some(&id)
            });
            self.count(&payments_of(product), successful.count());
        }
        for tag in tags(products) {
            let tags = write.profile.as_ref().and_then(|profile| profile.values[TAGS].as_deref());
            let is_tagged = tags.is_some_and(|tags| holds(tags, tag));
            self.count(&tagged(tag), usize::from(is_tagged));
        }
    }
}

/// Whether an array literal as [`crate::engine`] writes it holds an element.
fn holds(literal: &str, element: &str) -> bool {
    let element = crate::engine::literal::array(&[element.to_owned()]);
    let element = element.trim_start_matches('{').trim_end_matches('}');
    let inner = literal.strip_prefix('{').and_then(|rest| rest.strip_suffix('}')).unwrap_or("");
    let mut rest = inner;
    while let Some(at) = rest.find(element) {
        let (before, from) = rest.split_at(at);
        let after = &from[element.len()..];
        let begins = before.is_empty() && rest.len() == inner.len() || before.ends_with(',');
        if begins && (after.is_empty() || after.starts_with(',')) {
            return true;
        }
        rest = after;
    }
    false
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_tag_is_found_whole() {
        let check = |tags: &[&str], tag: &str, expected: bool| {
            let tags: Vec<String> = tags.iter().map(|tag| (*tag).to_owned()).collect();
            assert_eq!(
                holds(&crate::engine::literal::array(&tags), tag),
                expected,
                "{tags:?} {tag}"
            );
        };
        check(&["PaidP2P"], "PaidP2P", true);
        check(&["Canva", "PaidP2P", "X"], "PaidP2P", true);
        check(&["PaidP2P2"], "PaidP2P", false);
        check(&["xPaidP2P"], "PaidP2P", false);
        check(&[], "PaidP2P", false);
        check(&["a\"b", "{c}"], "a\"b", true);
        check(&["a\\\"PaidP2P"], "PaidP2P", false);
    }
}
