//! A few people whose rows were dirty: what came in, and what came out.

use serde_json::Value;
use tokio_postgres::{Client, Row};

use super::DemoFeeds;
use crate::error::{Context as _, Result};
use crate::facts::visible;

const WHAT: &str = "looking for people whose rows were cleaned";

/// A row in one line.
#[derive(Debug)]
pub(super) struct Line {
    pub(super) table: String,
    /// `name "value"`, with everything that does not show made visible.
    pub(super) values: String,
}

/// One person.
#[derive(Debug)]
pub(super) struct Person {
    pub(super) before: Vec<Line>,
    pub(super) after: Vec<Line>,
}

/// The people that show most of what the rules clean.
pub(super) async fn people(
    source: &Client,
    target: &crate::pg::Client,
    feeds: DemoFeeds,
) -> Result<Vec<Person>> {
    let contacts = include_str!("sql/contacts.sql");
    let payments = include_str!("sql/payments.sql");
    let before = match feeds {
        DemoFeeds::Canonical => vec![contacts, payments],
        DemoFeeds::More => {
            let (more_contacts, more_payments) =
                (include_str!("sql/more_contacts.sql"), include_str!("sql/more_payments.sql"));
            vec![contacts, more_contacts, payments, more_payments]
        }
    };
    let before = before.join("union all\n");
    let mut people = Vec::new();
    for row in target.query(include_str!("sql/dirty_people.sql"), &[]).await.context(WHAT)? {
        let email: &str = row.get(0);
        let keys: Vec<String> = row.get(1);
        people.push(Person {
            before: lines(&source.query(&before, &[&keys]).await.context(WHAT)?),
            after: lines(
                &target.query(include_str!("sql/after.sql"), &[&email]).await.context(WHAT)?,
            ),
        });
    }
    Ok(people)
}

fn lines(rows: &[Row]) -> Vec<Line> {
    let line = |row: &Row| Line { table: row.get(0), values: line(&row.get::<_, Value>(1)) };
    rows.iter().map(line).collect()
}

/// Pairs of name and value as `name "value"`; what is NULL or empty is left out.
fn line(pairs: &Value) -> String {
    let pairs = pairs.as_array().into_iter().flatten();
    let shown = pairs.filter_map(|pair| {
        let (name, value) = (pair.get(0)?.as_str()?, pair.get(1)?.as_str()?);
        (!value.is_empty()).then(|| format!("{name} \"{}\"", visible(value)))
    });
    shown.collect::<Vec<_>>().join("  ")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn dirt_is_made_visible_and_nothing_left_out() {
        let pairs =
            serde_json::json!([["email", "a\u{200b}@example.com"], ["phone", null], ["tags", ""]]);
        assert_eq!(line(&pairs), "email \"a<U+200B>@example.com\"");
    }
}
