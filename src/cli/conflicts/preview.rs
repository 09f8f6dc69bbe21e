//! `--dry-run` of a decision: what it would change, exactly (SPEC §7).

use std::fmt::Write as _;
use std::process::ExitCode;

use crate::ask;
use crate::cli::output::{self, print};
use crate::config::Config;
use crate::decisions::Command;
use crate::decisions::preview::Preview;
use crate::error::Result;
use crate::pg::Db;

/// Longest value shown, in characters.
const LONGEST: usize = 48;

/// Whether a decision is only tried.
#[derive(Debug, Clone, Copy, clap::Args)]
pub(in crate::cli) struct DryRun {
    /// Show exactly what it would change, row by row, and change nothing.
    #[arg(long)]
    pub(in crate::cli) dry_run: bool,
    /// With --dry-run: print one JSON object.
    #[arg(long, requires = "dry_run")]
    pub(in crate::cli) json: bool,
}

/// Shows what a decision would change.
///
/// # Errors
/// Those of the servers.
pub(in crate::cli) async fn show(
    config: &Config,
    db: &Db,
    command: Command,
    actor: &str,
    json: bool,
) -> Result<ExitCode> {
    match ask::preview(config, db, vec![command], actor).await? {
        Ok(preview) => {
            print(&if json { output::json(&preview)? } else { text(&preview) })?;
            Ok(ExitCode::SUCCESS)
        }
        Err(reason) => {
            print(&format!("refused: {}\n", output::cell_lines(&reason)))?;
            Ok(ExitCode::FAILURE)
        }
    }
}

/// Evidence is long; the JSON has all of it.
fn cut(value: &str) -> String {
    match value.char_indices().nth(LONGEST) {
        Some((end, _)) => format!("{}…", &value[..end]),
        None => value.to_owned(),
    }
}

fn text(preview: &Preview) -> String {
    let mut out = String::new();
    for would in &preview.decisions {
        let _ = writeln!(out, "{}", output::cell_lines(&would.text));
    }
    let counts: Vec<String> = preview
        .counts
        .iter()
        .map(|count| format!("{} {}", count.table.as_str(), count.rows))
        .collect();
    if counts.is_empty() {
        out.push_str("no row would change\n");
        return out;
    }
    let mut rows = output::table(&["TABLE", "ROW", "CHANGE", "COLUMN", "BEFORE", "AFTER"]);
    for change in &preview.changes {
        let happens = change.happens.as_str();
        let mut head = [change.table.as_str(), change.label.as_str(), happens];
        for field in &change.fields {
            let value =
                |value: &Option<String>| cut(&output::cell(value.as_deref().unwrap_or("none")));
            let [table, row, happens] = head;
            let (before, after) = (value(&field.before), value(&field.after));
            let cells = [table.to_owned(), output::cell(row), happens.to_owned()];
            rows.add_row(cells.into_iter().chain([field.name.clone(), before, after]));
            head = ["", "", ""];
        }
    }
    let _ = write!(out, "\n{}\nrows that would change: {}", output::text(&rows), counts.join(", "));
    if preview.unlisted() > 0 {
        let _ = write!(out, " ({} not listed)", preview.unlisted());
    }
    out.push_str("\nnothing is changed yet: the same command without --dry-run does it\n");
    out
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::decisions::preview::{Count, Would};
    use crate::decisions::snapshot::{Change, Field, Happens, Table};

    #[test]
    fn a_preview_names_each_value_that_changes() {
        let field = |name: &str, before: Option<&str>, after: Option<&str>| Field {
            name: name.into(),
            before: before.map(str::to_owned),
            after: after.map(str::to_owned),
        };
        let preview = Preview {
            decisions: vec![Would { done: true, text: "decision 3: a belongs to b".into() }],
            counts: vec![
                Count { table: Table::Profiles, rows: 1 },
                Count { table: Table::Conflicts, rows: 2 },
            ],
            changes: vec![
                Change {
                    table: Table::Profiles,
                    key: "1".into(),
                    label: "b@example.com".into(),
                    happens: Happens::Update,
                    fields: vec![
                        field("first_name", None, Some("Tala")),
                        field("phone", Some("+63 2"), None),
                    ],
                },
                Change {
                    table: Table::Conflicts,
                    key: "2".into(),
                    label: "possible_duplicate a|b".into(),
                    happens: Happens::Update,
                    fields: vec![field("status", Some("open"), Some("resolved"))],
                },
            ],
        };
        insta::assert_snapshot!(text(&preview), @r"
            decision 3: a belongs to b

            TABLE      ROW                     CHANGE  COLUMN      BEFORE  AFTER
            profiles   b@example.com           update  first_name  none    Tala
                                                       phone       +63 2   none
            conflicts  possible_duplicate a|b  update  status      open    resolved

            rows that would change: profiles 1, conflicts 2 (1 not listed)
            nothing is changed yet: the same command without --dry-run does it
        ");
    }
}
