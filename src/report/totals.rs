//! What the target tables hold, as the business counts: rows, and money by product, status, currency and month.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use crate::config::{TableName, Target};
use crate::error::{Context as _, Result};
use crate::pg::{Client, Param};
use crate::rules::{Rules, Status};

const WHAT: &str = "target: totals";

/// Months that are listed by themselves; older ones are one line.
const MONTHS: usize = 36;
/// Lines of every other dimension.
const LINES: usize = 40;
/// The line of what is older than `MONTHS`.
pub const EARLIER: &str = "earlier";

/// The target tables at one moment.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct Totals {
    /// Rows of each table.
    pub rows: BTreeMap<String, u64>,
    /// Transactions by dimension: `product`, `status`, `currency`, `month`.
    pub transactions: BTreeMap<String, Vec<Line>>,
    /// Enrollments by product and status.
    pub enrollments: Vec<Access>,
}

/// Transactions with one product, status, currency or month.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct Line {
    /// The product's code, the status, the currency or the month.
    pub key: String,
    /// All of them.
    pub rows: u64,
    /// Those with the money at the merchant.
    pub successful: u64,
    /// The sum of the successful ones by currency.
    pub amounts: BTreeMap<String, String>,
}

/// Enrollments in one course with one status.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct Access {
    /// The product's code.
    pub product: String,
    /// The status.
    pub status: String,
    /// How many.
    pub rows: u64,
}

impl Totals {
    /// Reads each table once. Texts of the application are counted as `other`: a total names no value of a row (P14).
    ///
    /// # Errors
    /// Those of the target.
    pub async fn read(client: &Client, target: &Target, rules: &Rules) -> Result<Self> {
        let mut totals = Self::default();
        let tables = [
            ("profiles", &target.profiles),
            ("transactions", &target.transactions),
            ("enrollments", &target.enrollments),
        ];
        for (name, table) in tables {
            totals.rows.insert(name.to_owned(), count(client, table).await?);
        }
        totals.transactions = transactions(client, &target.transactions, rules).await?;
        totals.enrollments = enrollments(client, &target.enrollments, rules).await?;
        Ok(totals)
    }

    /// The lines of a dimension.
    #[must_use]
    pub fn by(&self, dimension: &str) -> &[Line] {
        self.transactions.get(dimension).map_or(&[], Vec::as_slice)
    }
}

async fn count(client: &Client, table: &TableName) -> Result<u64> {
    let sql = format!("select count(*) from {}", table.quoted());
    Ok(client.query_one(&sql, &[]).await.context(WHAT)?.get::<_, i64>(0).unsigned_abs())
}

async fn transactions(
    client: &Client,
    table: &TableName,
    rules: &Rules,
) -> Result<BTreeMap<String, Vec<Line>>> {
    let sql = include_str!("sql/transactions.sql").replace(":transactions", &table.quoted());
    let (ids, codes) = products(rules);
    let statuses = Status::ALL.map(Status::as_str).to_vec();
    let successful = Status::successful();
    let zone = rules.zone.iana_name().unwrap_or("UTC");
    let params: [Param<'_>; 5] = [&ids, &codes, &statuses, &successful, &zone];
    let mut all: BTreeMap<String, BTreeMap<String, Line>> = BTreeMap::new();
    for row in client.query(&sql, &params).await.context(WHAT)? {
        let (dimension, key): (String, String) = (row.get(0), row.get(1));
        let line = all.entry(dimension).or_default().entry(key).or_default();
        line.rows += row.get::<_, i64>(3).unsigned_abs();
        line.successful += row.get::<_, i64>(4).unsigned_abs();
        if let Some(amount) = row.get::<_, Option<String>>(5) {
            line.amounts.insert(row.get(2), amount);
        }
    }
    Ok(all.into_iter().map(|(name, lines)| (name.clone(), listed(&name, lines))).collect())
}

/// Months in their order, the old ones in one line; every other dimension by size.
fn listed(dimension: &str, lines: BTreeMap<String, Line>) -> Vec<Line> {
    let mut lines: Vec<Line> = lines.into_iter().map(|(key, line)| Line { key, ..line }).collect();
    if dimension == "month" {
        let old = lines.len().saturating_sub(MONTHS);
        let newest = lines.split_off(old);
        let earlier = merged(lines, EARLIER);
        return earlier.into_iter().chain(newest).collect();
    }
    lines.sort_by(|a, b| (b.rows, &a.key).cmp(&(a.rows, &b.key)));
    let rest = lines.split_off(lines.len().min(LINES));
    lines.extend(merged(rest, "other"));
    lines
}

/// One line in place of several; their sums are left out, as they are decimal texts.
fn merged(lines: Vec<Line>, key: &str) -> Option<Line> {
    let first = Line { key: key.to_owned(), ..Line::default() };
    (!lines.is_empty()).then(|| {
        lines.into_iter().fold(first, |mut sum, line| {
            sum.rows += line.rows;
            sum.successful += line.successful;
            for (currency, amount) in line.amounts {
                let of = sum.amounts.entry(currency).or_default();
                *of = added(of, &amount);
            }
            sum
        })
    })
}

fn added(a: &str, b: &str) -> String {
    let number = |text: &str| text.parse::<rust_decimal::Decimal>().unwrap_or_default();
    number(a).checked_add(number(b)).unwrap_or(rust_decimal::Decimal::MAX).to_string()
}

async fn enrollments(client: &Client, table: &TableName, rules: &Rules) -> Result<Vec<Access>> {
    let sql = include_str!("sql/enrollments.sql").replace(":enrollments", &table.quoted());
    let (ids, codes) = products(rules);
    let rows = client.query(&sql, &[&ids, &codes]).await.context(WHAT)?;
    let access = |row: &tokio_postgres::Row| Access {
        product: row.get(0),
        status: row.get(1),
        rows: row.get::<_, i64>(2).unsigned_abs(),
    };
    Ok(rows.iter().map(access).collect())
}

fn products(rules: &Rules) -> (Vec<String>, Vec<String>) {
    rules.products.iter().map(|product| (product.id.to_string(), product.code.clone())).unzip()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn old_months_are_one_line_and_sums_stay() {
        let lines = (0..40).map(|month| {
            let amounts = BTreeMap::from([("PHP".to_owned(), "1.50".to_owned())]);
            (
                format!("{:04}-01", 2000 + month),
                Line { rows: 2, successful: 1, amounts, ..Line::default() },
            )
        });
        let listed = listed("month", lines.collect());
        assert_eq!((listed.len(), listed[0].key.as_str(), listed[0].rows), (37, EARLIER, 8));
        assert_eq!(listed[0].amounts["PHP"], "6.00");
        assert_eq!(listed[36].key, "2039-01");
    }

    #[test]
    fn other_dimensions_are_by_size() {
        let lines = [("a", 1), ("b", 3), ("c", 3)]
            .map(|(key, rows)| (key.to_owned(), Line { rows, ..Line::default() }));
        let listed = listed("status", BTreeMap::from(lines));
        let keys: Vec<&str> = listed.iter().map(|line| line.key.as_str()).collect();
        assert_eq!(keys, ["b", "c", "a"]);
    }
}
