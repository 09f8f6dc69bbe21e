//! The people of a conflict as they are now: names, money and enrollments that a decision would touch.

use serde::Serialize;
use serde_json::Value;
use tokio_postgres::Row;

use super::query::Stored;
use super::sides::Side;
use crate::config::Target;
use crate::error::Result;
use crate::pg::Db;

/// What is known of one address.
#[derive(Debug, Clone, Serialize)]
pub(crate) struct PersonSide {
    /// The address.
    pub(crate) email: String,
    /// The person after aliases.
    pub(crate) person: String,
    /// Of `tributary.person`.
    pub(crate) state: Option<String>,
    /// Their profile.
    pub(crate) profile_id: Option<String>,
    /// First and last name.
    pub(crate) name: Option<String>,
    /// E.164.
    pub(crate) phone: Option<String>,
    /// When the profile began.
    pub(crate) created_at: Option<String>,
    /// Contact rows.
    pub(crate) contacts: i64,
    /// Payment rows, in any status.
    pub(crate) payments: i64,
    /// Sum of successful payments by currency.
    pub(crate) paid: Option<String>,
    /// Course and status.
    pub(crate) enrollments: Option<String>,
}

/// The addresses that a conflict is about.
pub(crate) fn addresses(conflict: &Stored) -> Vec<String> {
    let evidence = &conflict.evidence;
    let one = |value: &Value| value.as_str().map(str::to_owned);
    let listed = ["emails", "people"].into_iter().filter_map(|name| evidence[name].as_array());
    let mut found: Vec<String> = listed.flatten().filter_map(one).collect();
    found.extend(["from", "to", "email"].into_iter().filter_map(|name| one(&evidence[name])));
    let sides = evidence["sides"].as_array().into_iter().flatten();
    found.extend(sides.filter_map(|side| one(&side["person"])));
    found.extend(
        ["/payment/email", "/contact/email"]
            .into_iter()
            .filter_map(|at| one(evidence.pointer(at)?)),
    );
    let mut seen = std::collections::BTreeSet::new();
    found.retain(|address| seen.insert(address.clone()));
    found
}

/// Looks these addresses up.
pub(crate) async fn look_up(db: &Db, target: &Target, keys: &[String]) -> Result<Vec<PersonSide>> {
    if keys.is_empty() {
        return Ok(Vec::new());
    }
    let sql = include_str!("sql/person_sides.sql")
        .replace("{profiles}", &target.profiles.quoted())
        .replace("{transactions}", &target.transactions.quoted())
        .replace("{enrollments}", &target.enrollments.quoted())
        .replace("{courses}", &target.courses.quoted());
    let rows = db.query("target: looking up people", &sql, &[&keys]).await?;
    let side = |row: &Row| PersonSide {
        email: row.get(0),
        person: row.get(1),
        state: row.get(2),
        profile_id: row.get(3),
        name: row.get(4),
        phone: row.get(5),
        created_at: row.get(6),
        contacts: row.get(7),
        payments: row.get(8),
        paid: row.get(9),
        enrollments: row.get(10),
    };
    Ok(rows.iter().map(side).collect())
}

impl PersonSide {
    /// As a column to compare.
    pub(crate) fn side(&self) -> Side {
        let text = |value: &Option<String>| value.clone().unwrap_or_else(|| "none".to_owned());
        let values = [
            ("belongs to", self.person.clone()),
            ("state", text(&self.state)),
            ("profile", text(&self.profile_id)),
            ("name", text(&self.name)),
            ("phone", text(&self.phone)),
            ("since", text(&self.created_at)),
            ("contacts", self.contacts.to_string()),
            ("payments", self.payments.to_string()),
            ("money", text(&self.paid)),
            ("enrollments", text(&self.enrollments)),
        ];
        let values = values.into_iter().map(|(name, value)| (name.to_owned(), value)).collect();
        Side { title: self.email.clone(), values }
    }
}
