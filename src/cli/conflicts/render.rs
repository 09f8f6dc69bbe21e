//! The review queue as text. Pure.

use std::fmt::Write as _;

use jiff::Timestamp;
use jiff::tz::TimeZone;
use serde_json::Value;

use super::beside::beside;
use crate::cli::output;
use crate::review::query::{Count, Decided, Stored};
use crate::review::sides::{Side, sides};
use crate::review::summary::{summary, text};
use crate::review::ways;

/// Local time in the configured zone, to the minute.
pub(super) fn local(at: Timestamp, zone: &TimeZone) -> String {
    at.to_zoned(zone.clone()).strftime("%Y-%m-%d %H:%M").to_string()
}

/// The conflicts one a line, the total, and the counts by kind.
pub(super) fn list(conflicts: &[Stored], counts: &[Count], zone: &TimeZone) -> String {
    let total: i64 = counts.iter().map(|count| count.count).sum();
    if total == 0 {
        return "no conflict matches\n".to_owned();
    }
    let mut rows = output::table(&["ID", "KIND", "SEVERITY", "SUBJECT", "FIRST SEEN", "ABOUT"]);
    for conflict in conflicts {
        rows.add_row([
            conflict.id.to_string(),
            conflict.kind.clone(),
            conflict.severity.clone(),
            output::cell(&conflict.subject),
            local(conflict.first_seen_at, zone),
            summary(&conflict.kind, &conflict.evidence),
        ]);
    }
    let mut out = output::text(&rows);
    let shown = conflicts.len();
    let _ = write!(out, "\n{total} in all");
    if i64::try_from(shown).is_ok_and(|shown| shown < total) {
        let _ = write!(out, " ({shown} shown; --limit N shows more)");
    }
    let _ = writeln!(out, ": {}", brief(counts));
    out
}

/// The counts by kind in one line.
fn brief(counts: &[Count]) -> String {
    let parts: Vec<String> =
        counts.iter().map(|count| format!("{} {}", count.count, count.kind)).collect();
    parts.join(", ")
}

/// The counts alone, one kind a line.
pub(super) fn counted(counts: &[Count]) -> String {
    let mut rows = output::table(&["KIND", "SEVERITY", "COUNT"]);
    for count in counts {
        rows.add_row([count.kind.clone(), count.severity.clone(), count.count.to_string()]);
    }
    let total: i64 = counts.iter().map(|count| count.count).sum();
    format!("{}\n{total} in all\n", output::text(&rows))
}

/// Everything about one conflict. `people` are the persons it is about, as they are now.
pub(super) fn show(
    conflict: &Stored,
    people: &[Side],
    history: &[Decided],
    zone: &TimeZone,
) -> String {
    let mut out = head(conflict, zone);
    let facts = sides(&conflict.evidence);
    if !facts.is_empty() {
        let _ = write!(out, "\nWhat the rows say\n\n{}", beside(&facts));
    }
    if !people.is_empty() {
        let _ = write!(out, "\nThe people, as they are now\n\n{}", beside(people));
    }
    out.push_str(&raw(&conflict.evidence));
    let _ = write!(out, "\nWhat can be done\n\n");
    if let Some(kind) = crate::unify::ConflictKind::parse(&conflict.kind) {
        if conflict.status == "open" {
            for command in ways::commands(conflict.id, kind, &conflict.evidence) {
                let _ = writeln!(out, "  {}", output::cell(&command));
            }
        }
        let _ = writeln!(out, "  {}", ways::remedy(kind));
    }
    if !history.is_empty() {
        let _ = write!(out, "\nDecided\n\n{}", decided(history, zone));
    }
    out
}

fn head(conflict: &Stored, zone: &TimeZone) -> String {
    let mut out = format!(
        "conflict {}: {}, {}, {}\n  subject     {}\n  about       {}\n  first seen  {}\n  last seen   {}\n",
        conflict.id,
        conflict.kind,
        conflict.severity,
        conflict.status,
        output::cell(&conflict.subject),
        summary(&conflict.kind, &conflict.evidence),
        local(conflict.first_seen_at, zone),
        local(conflict.last_seen_at, zone),
    );
    if let Some(at) = conflict.resolved_at {
        let by = conflict.resolved_by.as_deref().unwrap_or("nobody");
        let _ = writeln!(out, "  closed      {} by {}", local(at, zone), output::cell(by));
    }
    if let Some(note) = &conflict.note {
        let _ = writeln!(out, "  note        {}", output::cell(note));
    }
    let affected = text(conflict.evidence.get("enrollments_affected"));
    if affected != "none" {
        let _ = writeln!(out, "  enrollments {affected} may open or close");
    }
    out
}

/// The raw values, those with characters that do not show in a form that shows them.
fn raw(evidence: &Value) -> String {
    let mut rows = output::table(&["COLUMN", "RAW"]);
    for (column, value) in evidence["raw"].as_object().into_iter().flatten() {
        rows.add_row([column.clone(), output::cell(&text(Some(value)))]);
    }
    for field in evidence["fields"].as_array().into_iter().flatten() {
        rows.add_row([text(field.get("field")), output::cell(&text(field.get("raw")))]);
    }
    if rows.is_empty() { String::new() } else { format!("\nRaw values\n\n{}", output::text(&rows)) }
}

fn decided(history: &[Decided], zone: &TimeZone) -> String {
    let mut rows = output::table(&["DECISION", "KIND", "WHAT", "BY", "WHEN", "NOTE"]);
    for decision in history {
        let what = match decision.kind.as_str() {
            "dismiss" => "this evidence".to_owned(),
            _ => format!("{} → {}", decision.a, decision.b),
        };
        let reverted = decision.reverted_at.map_or_else(String::new, |at| {
            let by = decision.reverted_by.as_deref().unwrap_or("nobody");
            format!(" (reverted {} by {by})", local(at, zone))
        });
        rows.add_row([
            decision.id.to_string(),
            decision.kind.clone(),
            output::cell(&what),
            output::cell(&decision.actor),
            local(decision.created_at, zone),
            output::cell(&format!("{}{reverted}", decision.note.as_deref().unwrap_or(""))),
        ]);
    }
    output::text(&rows)
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn stored(kind: &str, subject: &str, evidence: Value) -> Stored {
        let at: Timestamp = "2025-06-30T04:00:00Z".parse().unwrap();
        Stored {
            id: 7,
            kind: kind.into(),
            severity: "review".into(),
            status: "open".into(),
            subject: subject.into(),
            evidence,
            first_seen_at: at,
            last_seen_at: at,
            resolved_at: None,
            resolved_by: None,
            note: None,
            fingerprint: uuid::Uuid::nil(),
        }
    }

    fn manila() -> TimeZone {
        TimeZone::get("Asia/Manila").unwrap()
    }

    fn pair() -> Stored {
        let emails = ["m.cruz@gmail.com", "mcruz@gmail.com"];
        let evidence = json!({ "emails": emails, "canonical": "mcruz@gmail.com" });
        stored("possible_duplicate", &emails.join("|"), evidence)
    }

    #[test]
    fn the_queue_is_a_line_each_with_totals() {
        let count =
            |kind: &str, count| Count { kind: kind.into(), severity: "review".into(), count };
        let counts = [count("possible_duplicate", 1), count("underpaid", 2)];
        insta::assert_snapshot!(list(&[pair()], &counts, &manila()), @r"
            ID  KIND                SEVERITY  SUBJECT                           FIRST SEEN        ABOUT
            7   possible_duplicate  review    m.cruz@gmail.com|mcruz@gmail.com  2025-06-30 12:00  both read as mcruz@gmail.com

            3 in all (1 shown; --limit N shows more): 1 possible_duplicate, 2 underpaid
        ");
        assert_eq!(list(&[], &[], &manila()), "no conflict matches\n");
    }

    #[test]
    fn counts_alone() {
        let counts = [Count { kind: "underpaid".into(), severity: "review".into(), count: 2 }];
        insta::assert_snapshot!(counted(&counts), @r"
            KIND       SEVERITY  COUNT
            underpaid  review    2

            2 in all
        ");
    }

    #[test]
    fn one_conflict_with_both_people_and_what_can_be_done() {
        let side = |email: &str, money: &str| Side {
            title: email.into(),
            values: vec![("state".into(), "present".into()), ("money".into(), money.into())],
        };
        let people = [side("m.cruz@gmail.com", "PHP 499"), side("mcruz@gmail.com", "none")];
        insta::assert_snapshot!(show(&pair(), &people, &[], &manila()), @r"
            conflict 7: possible_duplicate, review, open
              subject     m.cruz@gmail.com|mcruz@gmail.com
              about       both read as mcruz@gmail.com
              first seen  2025-06-30 12:00
              last seen   2025-06-30 12:00

            The people, as they are now

                     m.cruz@gmail.com  mcruz@gmail.com
              state  present           present
            ≠ money  PHP 499           none

            What can be done

              tributary conflicts resolve 7 --keep m.cruz@gmail.com   # they are one person; this address remains, the other becomes its alias
              tributary conflicts resolve 7 --keep mcruz@gmail.com   # they are one person; this address remains, the other becomes its alias
              tributary conflicts resolve 7 --separate   # they are two people; never suggest the pair again
              tributary conflicts dismiss 7 --note TEXT   # nothing needs to be done
              merging can be reverted
        ");
    }

    #[test]
    fn raw_values_show_what_is_invisible() {
        let evidence = json!({
            "source_row": "xendit:1", "reason": "bidi",
            "payment": { "source_row": "xendit:1", "status": "PAID", "amount": "499", "currency": "PHP" },
            "enrollments_affected": ["p2p"],
            "raw": { "customer_email": "a\u{202e}b@example.com" },
        });
        let conflict = stored("unlinked_payment", "xendit:1", evidence);
        insta::assert_snapshot!(show(&conflict, &[], &[], &manila()), @r"
            conflict 7: unlinked_payment, review, open
              subject     xendit:1
              about       PAID 499 PHP: e-mail bidi
              first seen  2025-06-30 12:00
              last seen   2025-06-30 12:00
              enrollments p2p may open or close

            What the rows say

                          payment
              source_row  xendit:1
              amount      499
              currency    PHP
              status      PAID

            Raw values

            COLUMN          RAW
            customer_email  a<U+202E>b@example.com

            What can be done

              tributary conflicts resolve 7 --email ADDR   # use this address for the row
              tributary conflicts dismiss 7 --note TEXT   # nothing needs to be done
              or correct the address at the source
        ");
    }
}
