//! Why a person looks as they do: each value with its row, its rule and what lost.
//!
//! Nothing is decided here. The candidates are those of `survivorship`, the outcomes those of
//! `duplicates`, the periods those of `enrollment`, which are what [`super::unify`] goes by.

mod fields;
mod lines;

use std::collections::HashMap;

use jiff::civil;
use serde::Serialize;
use uuid::Uuid;

use super::model::{Context, Group};
use super::survivorship::Ranked;
use super::{duplicates, enrollment, profile, transaction};
use crate::rules::Rules;

/// Most candidates that are shown of one field; a person with more rows has a pattern by then.
const MAX_CANDIDATES: usize = 100;

/// All of a person, explained.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Explanation {
    /// E-mail key, or the text of rows without a person.
    pub owner: String,
    /// Why there is no profile; `None` where there is one.
    pub no_profile: Option<String>,
    /// In the order of the profile's columns; empty without a profile.
    pub fields: Vec<FieldExplanation>,
    /// In time order.
    pub payments: Vec<PaymentExplanation>,
    /// By product code; empty without a profile.
    pub enrollments: Vec<EnrollmentExplanation>,
}

/// One column of the profile.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct FieldExplanation {
    /// Column name.
    pub field: &'static str,
    /// As text; `None` is NULL.
    pub value: Option<String>,
    /// The row that gave it; `None` where no single row did.
    pub source_row: Option<String>,
    /// What the rule says (SPEC §4.2).
    pub rule: String,
    /// The other rows that were considered, best first, at most 100.
    pub candidates: Vec<Candidate>,
    /// How many more there are.
    pub candidates_left_out: usize,
}

/// A row that was considered for a column.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Candidate {
    /// Such as `xendit:4f…`.
    pub source_row: String,
    /// What it had to offer.
    pub value: Option<String>,
    /// `None` where it did not lose: its value is part of the whole.
    pub why_lost: Option<String>,
}

/// One payment row.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct PaymentExplanation {
    /// Such as `xendit:4f…`.
    pub source_row: String,
    /// `None` where it gives no transaction.
    pub transaction_id: Option<Uuid>,
    /// What became of the row, and why.
    pub outcome: String,
    /// `None` is invalid.
    pub amount: Option<String>,
    /// Uppercase.
    pub currency: String,
    /// The word of SPEC §3.10.
    pub status: &'static str,
    /// Code, if exactly one product matches.
    pub product: Option<String>,
    /// ISO 8601, of the transaction's paid_at, else of created.
    pub utc: Option<String>,
    /// The same in the configured zone, with the offset.
    pub local: Option<String>,
    /// Which field of the row the time is.
    pub time_from: Option<&'static str>,
}

/// One course of a person.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct EnrollmentExplanation {
    /// Product code.
    pub product: String,
    /// `active`, `expired` or `revoked`.
    pub status: &'static str,
    /// Why this status.
    pub reason: String,
    /// The payment row that the enrollment stands on.
    pub source_row: String,
    /// Its transaction.
    pub transaction_id: Uuid,
    /// First day of access, local.
    pub start_date: Option<civil::Date>,
    /// Last day of access, local; `None` never ends.
    pub expiry_date: Option<civil::Date>,
    /// Every period, oldest first; the enrollment shows the last.
    pub periods: Vec<PeriodExplanation>,
}

/// One access period.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct PeriodExplanation {
    /// First day, local.
    pub start_date: Option<civil::Date>,
    /// Last day, local; `None` never ends.
    pub expiry_date: Option<civil::Date>,
    /// The payment row that opened it.
    pub opened_by: String,
    /// Payment rows that fell into it and changed nothing.
    pub bought_again: Vec<String>,
}

impl Explanation {
    /// Has payments, by source row, keep the transactions that they adopted (SPEC §5.2).
    pub fn keep(&mut self, adopted: &HashMap<String, Uuid>) {
        for payment in &mut self.payments {
            if let (Some(id), Some(kept)) =
                (&mut payment.transaction_id, adopted.get(&payment.source_row))
            {
                *id = *kept;
            }
        }
        for enrollment in &mut self.enrollments {
            if let Some(kept) = adopted.get(&enrollment.source_row) {
                enrollment.transaction_id = *kept;
            }
        }
    }
}

/// Explains what [`super::unify`] makes of the same arguments.
#[must_use]
pub fn explain(group: &Group, context: &Context, rules: &Rules) -> Explanation {
    let ranked = Ranked::of(group);
    let outcomes = duplicates::outcomes(&group.payments);
    let booked = transaction::book(&outcomes, rules);
    let no_profile = match group.owner.person() {
        None => Some("the rows have no usable e-mail address".to_owned()),
        Some(_) if profile::is_included(group, rules) => None,
        Some(_) if group.contacts.is_empty() && group.payments.is_empty() => {
            Some("no source row carries this e-mail address".to_owned())
        }
        Some(_) => Some("the profile filter of the configuration leaves the person out".to_owned()),
    };
    let person = group.owner.person().filter(|_| no_profile.is_none());
    let mut explanation = Explanation {
        owner: group.owner.as_str().to_owned(),
        no_profile,
        fields: Vec::new(),
        payments: lines::payments(&outcomes, rules),
        enrollments: Vec::new(),
    };
    if let Some(email) = person {
        let profile = profile::profile(email, &ranked, &booked, context, rules);
        explanation.fields = fields::fields(&profile, &ranked, &booked, context);
        let standings = enrollment::standings(&booked, rules);
        explanation.enrollments =
            standings.iter().filter_map(|standing| lines::enrollment(standing, context)).collect();
    }
    explanation
}
