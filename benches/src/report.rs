//! The table for people and the file for programs.

use anyhow::Result;
use comfy_table::presets::NOTHING;
use comfy_table::{CellAlignment, Table};
use serde_json::{Value, json};

use crate::plan::Plan;
use crate::results::{Figure, Judgement, Results};

/// The figures with their ratios and targets.
pub(crate) fn table(plan: &Plan, results: &Results) -> String {
    let mut table = Table::new();
    table.load_style(NOTHING);
    table.set_header(["figure", "", "median", "ratio", "of", "target", "met"]);
    let mut group = "";
    for (figure, judgement) in results.judged() {
        let name = if figure.group == group { "" } else { &figure.group };
        group = &figure.group;
        table.add_row(row(name, figure, &judgement));
    }
    for column in [2, 3, 5] {
        if let Some(column) = table.column_mut(column) {
            column.set_cell_alignment(CellAlignment::Right);
        }
    }
    let mut text = format!("\n{}\n\n{table}\n", plan.headline());
    if plan.quick {
        text += "\nQuick: it works; the times mean nothing.\n";
    }
    for (part, reason) in results.failures() {
        text += &format!("\n{part} failed: {reason}\n");
    }
    text
}

fn row(name: &str, figure: &Figure, judgement: &Judgement) -> [String; 7] {
    let unit = if judgement.ratio.is_some() { " ×" } else { " MiB" };
    [
        name.to_owned(),
        figure.who.clone(),
        format!("{} {}", shown(figure.value()), figure.unit),
        judgement.ratio.map_or_else(String::new, |ratio| format!("{ratio:.2} ×")),
        judgement.versus.clone().unwrap_or_default(),
        judgement.limit.map_or_else(String::new, |limit| format!("≤ {limit}{unit}")),
        judgement.verdict.word().to_owned(),
    ]
}

/// About three figures of a number.
fn shown(value: f64) -> String {
    match value.abs() {
        large if large >= 100.0 => format!("{value:.0}"),
        middle if middle >= 10.0 => format!("{value:.1}"),
        _ => format!("{value:.2}"),
    }
}

/// Everything, with the value of each round.
pub(crate) fn json(plan: &Plan, results: &Results) -> Result<String> {
    let figures: Vec<Value> = results.judged().iter().map(|(f, j)| entry(f, j)).collect();
    let failures: Vec<Value> = results
        .failures()
        .iter()
        .map(|(part, reason)| json!({"part": part.to_string(), "reason": reason}))
        .collect();
    let cores = std::thread::available_parallelism()?.get();
    let all = json!({
        "postgres": plan.postgres,
        "cores": cores,
        "quick": plan.quick,
        "rounds": plan.rounds,
        "contacts": plan.contacts,
        "payments": plan.payments,
        "live_people": plan.live_people,
        "transactions": plan.transactions,
        "sizes": plan.sizes,
        "changes": plan.changes,
        "large_transaction": plan.large_transaction,
        "figures": figures,
        "failures": failures,
    });
    Ok(serde_json::to_string_pretty(&all)? + "\n")
}

fn entry(figure: &Figure, judgement: &Judgement) -> Value {
    json!({
        "part": figure.part.to_string(),
        "figure": figure.group,
        "who": figure.who,
        "unit": figure.unit,
        "values": figure.values,
        "value": figure.value(),
        "versus": judgement.versus,
        "ratio": judgement.ratio,
        "target": judgement.limit,
        "verdict": judgement.verdict.word(),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn about_three_figures_are_shown() {
        let table = [(0.3214, "0.32"), (9.5, "9.50"), (12.34, "12.3"), (123.4, "123")];
        for (value, expected) in table {
            assert_eq!(shown(value), expected);
        }
    }
}
