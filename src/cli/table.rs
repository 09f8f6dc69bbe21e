//! Tables on standard output: plain columns that a person reads and `grep` and `awk` understand.

use std::io::IsTerminal as _;

use comfy_table::{ContentArrangement, Table, presets};

use crate::facts::visible;

/// A table with these column heads. On a terminal long cells wrap to its width; elsewhere a row is a line.
pub(super) fn table(heads: &[&str]) -> Table {
    let mut table = Table::new();
    table.load_style(presets::NOTHING);
    if std::io::stdout().is_terminal() {
        table.set_content_arrangement(ContentArrangement::Dynamic);
    }
    if !heads.is_empty() {
        table.set_header(heads.to_vec());
    }
    table
}

/// The table as text that ends with a line end.
pub(super) fn text(table: &Table) -> String {
    let mut text = String::new();
    for line in table.lines() {
        // Cells are padded on both sides; the outer padding says nothing.
        text.push_str(line.strip_prefix(' ').unwrap_or(&line).trim_end());
        text.push('\n');
    }
    text
}

/// A raw value as a cell: what does not show is made visible, so that it cannot steer the terminal either.
pub(super) fn cell(value: &str) -> String {
    visible(value)
}

/// As [`cell`], of a text of several lines.
pub(super) fn cell_lines(text: &str) -> String {
    text.lines().map(cell).collect::<Vec<_>>().join("\n")
}
