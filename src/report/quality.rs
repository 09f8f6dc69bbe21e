//! The data-quality scorecard: how many of the rows are as they should be.

use serde::{Deserialize, Serialize};

use crate::config::Target;
use crate::error::{Context as _, Result};
use crate::pg::Client;
use crate::rules::Status;

/// One measure.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct Measure {
    /// What is measured, such as `paid_with_product`.
    pub name: String,
    /// Rows that are as they should be.
    pub good: u64,
    /// All of them.
    pub of: u64,
}

impl Measure {
    /// From 0 to 1; 1 where there is nothing.
    #[must_use]
    pub fn share(&self) -> f64 {
        if self.of == 0 { 1.0 } else { self.good as f64 / self.of as f64 }
    }

    /// In words.
    #[must_use]
    pub fn title(&self) -> &str {
        title(&self.name)
    }
}

/// What a measure asks, in words.
#[must_use]
pub fn title(name: &str) -> &str {
    match name {
        "rows_without_review" => "Source rows that need no review",
        "contacts_with_email" => "Contacts with a usable e-mail address",
        "payments_with_person" => "Transactions with a person",
        "payments_with_status" => "Transactions with a known status",
        "paid_with_product" => "Successful payments with a product",
        "paid_with_date" => "Successful payments with a payment date",
        "paid_with_amount" => "Successful payments with an amount above 0",
        "people_with_name" => "People with a first name",
        "people_with_phone" => "People with a phone number",
        "people_without_double" => "People without a suspected duplicate",
        other => other,
    }
}

/// Reads the scorecard.
///
/// # Errors
/// Those of the target.
pub async fn read(client: &Client, target: &Target) -> Result<Vec<Measure>> {
    let sql = include_str!("sql/quality.sql")
        .replace(":transactions", &target.transactions.quoted())
        .replace(":profiles", &target.profiles.quoted());
    let successful = Status::successful();
    let rows = client.query(&sql, &[&successful]).await.context("target: data quality")?;
    let measure = |row: &tokio_postgres::Row| Measure {
        name: row.get(0),
        good: row.get::<_, i64>(1).unsigned_abs(),
        of: row.get::<_, i64>(2).unsigned_abs(),
    };
    Ok(rows.iter().map(measure).collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn of_nothing_all_is_good() {
        let share = |good, of| Measure { name: "paid_with_date".into(), good, of }.share();
        assert!((share(0, 0) - 1.0).abs() < f64::EPSILON);
        assert!((share(1, 4) - 0.25).abs() < f64::EPSILON);
    }
}
