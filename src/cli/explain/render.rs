//! A person explained, as text. Pure.

use std::fmt::Write as _;

use crate::cli::output;
use crate::review::person::Explained;
use crate::review::summary::summary;
use crate::unify::{EnrollmentExplanation, FieldExplanation};

/// Most rows named that lost a field; the JSON has more.
const MAX_LOST: usize = 5;

/// Most rows named that are left out; the JSON has more.
const MAX_LEFT_OUT: usize = 20;

/// The rule of a profile's column.
fn section(field: &str) -> &'static str {
    match field {
        "email" => "§4.1",
        "systemeio_id" => "§4.2, §4.4",
        "tags" => "§3.6, §4.2",
        _ => "§4.2",
    }
}

/// All of it.
pub(super) fn text(explained: &Explained) -> String {
    let mut out = head(explained);
    if let Some(reason) = &explained.explanation.no_profile {
        let _ = writeln!(out, "  no values   {reason}");
    }
    if !explained.left_out.is_empty() {
        let _ =
            write!(out, "\nRows that the configuration leaves out (§1)\n\n{}", left_out(explained));
    }
    if !explained.explanation.fields.is_empty() {
        let _ = write!(out, "\nProfile\n\n{}", fields(&explained.explanation.fields));
    }
    if !explained.explanation.payments.is_empty() {
        let _ = write!(out, "\nPayments\n\n{}", payments(explained));
    }
    if !explained.explanation.enrollments.is_empty() {
        let _ = write!(out, "\nEnrollments\n\n");
        for enrollment in &explained.explanation.enrollments {
            out.push_str(&enrolled(enrollment));
        }
    }
    if !explained.decisions.is_empty() {
        let _ = write!(out, "\nDecisions in force\n\n{}", decisions(explained));
    }
    if !explained.conflicts.is_empty() {
        let _ = write!(out, "\nOpen conflicts\n\n{}", conflicts(explained));
    }
    out
}

fn head(explained: &Explained) -> String {
    let none = || "none".to_owned();
    let mut out = format!("{}\n  person      {}\n", explained.key, explained.person);
    if !explained.aliases.is_empty() {
        let _ = writeln!(out, "  aliases     {}", explained.aliases.join(", "));
    }
    let profile = explained.profile_id.clone().unwrap_or_else(none);
    let state = explained.state.clone().unwrap_or_else(none);
    let _ = write!(out, "  profile     {profile}\n  state       {state}\n");
    out
}

fn left_out(explained: &Explained) -> String {
    let mut rows = output::table(&["ROW", "LEFT OUT BY"]);
    for row in explained.left_out.iter().take(MAX_LEFT_OUT) {
        rows.add_row([output::cell(&row.source_row), output::cell(&row.why)]);
    }
    let more = explained.left_out.len().saturating_sub(MAX_LEFT_OUT);
    if more > 0 {
        rows.add_row([format!("and {more} more"), String::new()]);
    }
    output::text(&rows)
}

fn fields(fields: &[FieldExplanation]) -> String {
    let mut rows = output::table(&["FIELD", "VALUE", "FROM", "RULE"]);
    for field in fields {
        rows.add_row([
            field.field.to_owned(),
            field.value.as_deref().map_or_else(|| "none".to_owned(), output::cell),
            field.source_row.as_deref().map_or_else(String::new, output::cell),
            format!("{} ({})", field.rule, section(field.field)),
        ]);
    }
    let mut out = output::text(&rows);
    let mut lost = output::table(&["FIELD", "LOST OR PART", "OF", "WHY"]);
    for field in fields {
        for candidate in field.candidates.iter().take(MAX_LOST) {
            lost.add_row([
                field.field.to_owned(),
                candidate.value.as_deref().map_or_else(|| "none".to_owned(), output::cell),
                output::cell(&candidate.source_row),
                candidate.why_lost.clone().unwrap_or_else(|| "is part of the value".to_owned()),
            ]);
        }
        let shown = field.candidates.len().min(MAX_LOST);
        let more = field.candidates.len() - shown + field.candidates_left_out;
        if more > 0 {
            lost.add_row([field.field, &format!("and {more} more"), "", ""]);
        }
    }
    if !lost.is_empty() {
        let _ = write!(out, "\n{}", output::text(&lost));
    }
    out
}

fn payments(explained: &Explained) -> String {
    let mut rows =
        output::table(&["LOCAL TIME", "UTC", "STATUS", "AMOUNT", "PRODUCT", "ROW", "OUTCOME"]);
    for payment in &explained.explanation.payments {
        let text = |value: &Option<String>| value.clone().unwrap_or_else(|| "none".to_owned());
        let outcome = match payment.transaction_id {
            Some(id) => format!("{} {id}", payment.outcome),
            None => payment.outcome.clone(),
        };
        rows.add_row([
            text(&payment.local),
            text(&payment.utc),
            payment.status.to_owned(),
            format!("{} {}", text(&payment.amount), output::cell(&payment.currency)),
            text(&payment.product),
            output::cell(&payment.source_row),
            output::cell(&outcome),
        ]);
    }
    output::text(&rows)
}

fn enrolled(enrollment: &EnrollmentExplanation) -> String {
    let mut out = format!(
        "{}: {}, {} (§5.4)\n  transaction {} of {}\n",
        enrollment.product,
        enrollment.status,
        enrollment.reason,
        enrollment.transaction_id,
        output::cell(&enrollment.source_row),
    );
    for period in &enrollment.periods {
        let date = |date: Option<jiff::civil::Date>, none: &str| {
            date.map_or_else(|| none.to_owned(), |date| date.to_string())
        };
        let (start, end) = (date(period.start_date, "unknown"), date(period.expiry_date, "no end"));
        let _ = writeln!(out, "  {start} to {end}, opened by {}", output::cell(&period.opened_by));
        for row in &period.bought_again {
            let _ = writeln!(out, "    bought again within it: {}", output::cell(row));
        }
    }
    out
}

fn decisions(explained: &Explained) -> String {
    let mut rows = output::table(&["ID", "KIND", "WHAT", "BY", "NOTE"]);
    for decision in &explained.decisions {
        let by = if decision.automatic { "the rules" } else { &decision.actor };
        rows.add_row([
            decision.id.to_string(),
            decision.kind.clone(),
            output::cell(&format!("{} → {}", decision.a, decision.b)),
            output::cell(by),
            output::cell(decision.note.as_deref().unwrap_or("")),
        ]);
    }
    output::text(&rows)
}

fn conflicts(explained: &Explained) -> String {
    let mut rows = output::table(&["ID", "KIND", "SEVERITY", "SUBJECT", "ABOUT"]);
    for conflict in &explained.conflicts {
        rows.add_row([
            conflict.id.to_string(),
            conflict.kind.clone(),
            conflict.severity.clone(),
            output::cell(&conflict.subject),
            summary(&conflict.kind, &conflict.evidence),
        ]);
    }
    output::text(&rows)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::unify::{Candidate, Explanation, PaymentExplanation, PeriodExplanation};

    #[test]
    fn a_person_on_one_screen() {
        let id = uuid::Uuid::nil();
        let field = FieldExplanation {
            field: "first_name",
            value: Some("Tala".into()),
            source_row: Some("systemeio:2".into()),
            rule: "the first contact".into(),
            candidates: vec![Candidate {
                source_row: "systemeio:1".into(),
                value: Some("Tal\u{200b}a".into()),
                why_lost: Some("its updated_at is older or missing".into()),
            }],
            candidates_left_out: 0,
        };
        let payment = PaymentExplanation {
            source_row: "xendit:1".into(),
            transaction_id: Some(id),
            outcome: "gives a transaction".into(),
            amount: Some("499".into()),
            currency: "PHP".into(),
            status: "PAID",
            product: Some("p2p".into()),
            utc: Some("2025-06-30T04:00:00Z".into()),
            local: Some("2025-06-30 12:00:00 +08:00".into()),
            time_from: Some("paid_at"),
        };
        let enrollment = EnrollmentExplanation {
            product: "p2p".into(),
            status: "active",
            reason: "access lasts until 2026-06-30; today is 2025-07-01".into(),
            source_row: "xendit:1".into(),
            transaction_id: id,
            start_date: None,
            expiry_date: None,
            periods: vec![PeriodExplanation {
                start_date: Some(jiff::civil::date(2025, 6, 30)),
                expiry_date: Some(jiff::civil::date(2026, 6, 30)),
                opened_by: "xendit:1".into(),
                bought_again: vec!["xendit:2".into()],
            }],
        };
        let explained = Explained {
            key: "t.cruz@example.com".into(),
            person: "tala@example.com".into(),
            aliases: vec!["t.cruz@example.com".into()],
            state: Some("present".into()),
            profile_id: Some(id.to_string()),
            explanation: Explanation {
                owner: "tala@example.com".into(),
                no_profile: None,
                fields: vec![field],
                payments: vec![payment],
                enrollments: vec![enrollment],
            },
            left_out: Vec::new(),
            decisions: Vec::new(),
            conflicts: Vec::new(),
        };
        insta::assert_snapshot!(text(&explained), @r"
            t.cruz@example.com
              person      tala@example.com
              aliases     t.cruz@example.com
              profile     00000000-0000-0000-0000-000000000000
              state       present

            Profile

            FIELD       VALUE  FROM         RULE
            first_name  Tala   systemeio:2  the first contact (§4.2)

            FIELD       LOST OR PART  OF           WHY
            first_name  Tal<U+200B>a  systemeio:1  its updated_at is older or missing

            Payments

            LOCAL TIME                  UTC                   STATUS  AMOUNT   PRODUCT  ROW       OUTCOME
            2025-06-30 12:00:00 +08:00  2025-06-30T04:00:00Z  PAID    499 PHP  p2p      xendit:1  gives a transaction 00000000-0000-0000-0000-000000000000

            Enrollments

            p2p: active, access lasts until 2026-06-30; today is 2025-07-01 (§5.4)
              transaction 00000000-0000-0000-0000-000000000000 of xendit:1
              2025-06-30 to 2026-06-30, opened by xendit:1
                bought again within it: xendit:2
        ");
    }
}
