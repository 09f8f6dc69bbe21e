//! The summary that a job answers with: rows by table and what becomes of them, and the same in lines.

use std::collections::BTreeMap;

use serde_json::{Value, json};

use crate::error::{Error, Result};
use crate::report::Report;
use crate::validate::Validation;

/// With the keys of a dry run, as far as a run without an image of the tables knows them.
pub(super) fn of_report(report: &Report) -> Result<Value> {
    let mut tables = json!({});
    for (name, rows) in &report.written {
        tables[name] = json!({
            "insert": rows.inserted,
            "update": { "total": rows.updated },
            "delete": rows.deleted,
        });
    }
    let problems = report.contents.problems.iter();
    let conflicts: BTreeMap<&str, u64> =
        problems.map(|problem| (problem.kind.as_str(), problem.open())).collect();
    Ok(json!({
        "tables": tables,
        "conflicts": conflicts,
        "rows_read": report.rows_read,
        "totals": as_json(&report.contents.totals)?,
        "validation": as_json(&report.contents.validation)?,
    }))
}

/// Rows of each table by what becomes of them, whatever else is known of them.
pub(super) fn counts(tables: &Value) -> Value {
    let number = |value: &Value| value.as_u64().or_else(|| value["total"].as_u64());
    let of = |table: &Value| -> Value {
        if let Some(rows) = number(table) {
            return json!({ "differ": rows });
        }
        let counts = table.as_object().into_iter().flatten();
        counts
            .filter_map(|(what, count)| Some((what.clone(), Value::from(number(count)?))))
            .collect()
    };
    let named = tables.as_object().into_iter().flatten();
    let listed = tables.as_array().into_iter().flatten();
    let listed = listed.filter_map(|table| Some((table["table"].as_str()?.to_owned(), of(table))));
    named.map(|(name, table)| (name.clone(), of(table))).chain(listed).collect()
}

/// The summary for a person who sees notices.
pub(super) fn lines(summary: &Value) -> Vec<String> {
    let mut lines = Vec::new();
    for (table, counts) in summary["counts"].as_object().into_iter().flatten() {
        let counts = counts.as_object().into_iter().flatten();
        let counts: Vec<String> = counts.map(|(what, count)| format!("{what} {count}")).collect();
        lines.push(format!("{table}: {}", counts.join(", ")));
    }
    if let Some(conflicts) = summary["conflicts"].as_object().filter(|kinds| !kinds.is_empty()) {
        let kinds = conflicts.iter().map(|(kind, count)| format!("{kind} {count}"));
        lines.push(format!("open conflicts: {}", kinds.collect::<Vec<_>>().join(", ")));
    }
    if let Ok(found) = serde_json::from_value::<Validation>(summary["validation"].clone()) {
        let failed = found.points.iter().filter(|point| !point.ok);
        let failed = failed.map(|p| format!("FAILED {}: {} ({})", p.point, p.found, p.expected));
        lines.extend(failed);
        lines.push(format!("validation: {} of {} points failed", found.failed, found.points.len()));
    }
    if let Some(seconds) = summary["duration_seconds"].as_f64() {
        lines.push(format!("took {seconds:.1} s"));
    }
    if summary["dry_run"] == true && summary["operation"] != "verify" {
        lines.push("nothing was changed; dry_run => false does it".to_owned());
    }
    lines
}

pub(super) fn as_json(value: &impl serde::Serialize) -> Result<Value> {
    serde_json::to_value(value).map_err(|error| Error::failed("writing a summary", error))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_summary_is_said_in_lines() {
        let summary = json!({
            "operation": "populate_clean_data",
            "dry_run": true,
            "counts": { "profiles": { "insert": 3, "update": 2 } },
            "conflicts": { "invalid_email": 4 },
            "validation": { "ok": false, "failed": 1, "points": [
                { "group": "finances", "point": "no fee is negative", "expected": "0", "found": "2", "ok": false },
            ] },
            "duration_seconds": 1.25,
        });
        assert_eq!(
            lines(&summary),
            [
                "profiles: insert 3, update 2",
                "open conflicts: invalid_email 4",
                "FAILED no fee is negative: 2 (0)",
                "validation: 1 of 1 points failed",
                "took 1.2 s",
                "nothing was changed; dry_run => false does it",
            ]
        );
    }

    #[test]
    fn counts_are_numbers_by_table_whatever_was_done() {
        let check = |tables: Value, expected: Value| assert_eq!(counts(&tables), expected);
        check(
            json!({ "profiles": { "insert": 3, "update": { "total": 2, "by_column": {} }, "examples": {} } }),
            json!({ "profiles": { "insert": 3, "update": 2 } }),
        );
        check(
            json!([{ "table": "a.b", "delete": 1, "insert": 0, "update": 2 }]),
            json!({ "a.b": { "delete": 1, "insert": 0, "update": 2 } }),
        );
        check(json!({ "profiles": 4 }), json!({ "profiles": { "differ": 4 } }));
        check(Value::Null, json!({}));
    }
}
