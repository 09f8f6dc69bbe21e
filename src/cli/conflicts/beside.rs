//! Sides of a conflict as columns of text. Pure.

use crate::cli::output;
use crate::review::sides::Side;

/// The sides as columns. A value that the sides do not share is marked.
pub(super) fn beside(sides: &[Side]) -> String {
    let mut names: Vec<&str> = Vec::new();
    for (name, _) in sides.iter().flat_map(|side| &side.values) {
        if !names.contains(&name.as_str()) {
            names.push(name);
        }
    }
    let mut heads = vec![""];
    heads.extend(sides.iter().map(|side| side.title.as_str()));
    let mut columns = output::table(&heads);
    for name in names {
        let value = |side: &Side| {
            let found = side.values.iter().find(|(known, _)| known == name);
            found.map_or_else(String::new, |(_, value)| output::cell(value))
        };
        let values: Vec<String> = sides.iter().map(value).collect();
        let differ = values.iter().any(|value| *value != values[0]);
        let mark = if differ { "≠ " } else { "  " };
        columns.add_row(std::iter::once(format!("{mark}{name}")).chain(values));
    }
    output::text(&columns)
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::review::sides::sides;

    #[test]
    fn sides_are_put_beside_each_other_and_differences_marked() {
        let evidence = json!({ "sides": [
            { "source_row": "xendit:1", "amount": "499", "currency": "PHP", "person": "a@example.com" },
            { "source_row": "xendit:2", "amount": "999", "currency": "PHP", "person": null },
        ] });
        insta::assert_snapshot!(beside(&sides(&evidence)), @r"
                          payment 1      payment 2
            ≠ source_row  xendit:1       xendit:2
            ≠ person      a@example.com  none
            ≠ amount      499            999
              currency    PHP            PHP
        ");
    }
}
