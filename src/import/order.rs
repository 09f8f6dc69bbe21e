//! The order of the loads, by the references between their tables: what is referenced comes first. Of a cycle, columns
//! that may be NULL are filled in a second pass.

use std::collections::BTreeSet;

/// One load, as far as its order depends on it.
#[derive(Debug, Clone, Default)]
pub(super) struct Node {
    /// Its name, for messages.
    pub(super) name: String,
    pub(super) table: String,
    pub(super) merge: bool,
    /// Its references: column (its place among the columns), table, whether the column may wait for a second pass.
    pub(super) references: Vec<(usize, String, bool)>,
}

/// The order.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Order {
    /// Places of the loads.
    pub(super) loads: Vec<usize>,
    /// Load and column of what a second pass fills.
    pub(super) deferred: BTreeSet<(usize, usize)>,
}

/// Orders the loads.
///
/// # Errors
/// The names of the loads that no order is possible for.
pub(super) fn order(nodes: &[Node]) -> Result<Order, String> {
    let mut order = Order { loads: Vec::new(), deferred: BTreeSet::new() };
    // A reference within one table: the referenced row may come later in the file.
    for (at, node) in nodes.iter().enumerate() {
        for (column, table, may_wait) in &node.references {
            if *table == node.table && *may_wait && !node.merge {
                order.deferred.insert((at, *column));
            }
        }
    }
    while order.loads.len() < nodes.len() {
        let ready = (0..nodes.len())
            .find(|at| !order.loads.contains(at) && waits_for(nodes, *at, &order).is_empty());
        if let Some(at) = ready {
            order.loads.push(at);
            continue;
        }
        // Every load that is left waits for another: the first whose references can all wait is taken.
        let freed = (0..nodes.len()).filter(|at| !order.loads.contains(at)).find_map(|at| {
            let waits = waits_for(nodes, at, &order);
            let all: Option<Vec<usize>> =
                waits.into_iter().map(|(column, may)| column.filter(|_| may)).collect();
            all.map(|columns| (at, columns))
        });
        match freed {
            Some((at, columns)) => {
                order.deferred.extend(columns.into_iter().map(|column| (at, column)));
            }
            None => {
                let left = (0..nodes.len()).filter(|at| !order.loads.contains(at));
                let names: Vec<&str> = left.map(|at| nodes[at].name.as_str()).collect();
                return Err(names.join(", "));
            }
        }
    }
    Ok(order)
}

/// What a load still waits for: the column, where it is one, and whether it may be filled later.
fn waits_for(nodes: &[Node], at: usize, order: &Order) -> Vec<(Option<usize>, bool)> {
    let node = &nodes[at];
    let open = |table: &str| {
        let of_table = |(other, known): (usize, &Node)| {
            other != at && known.table == table && !known.merge && !order.loads.contains(&other)
        };
        nodes.iter().enumerate().any(of_table)
    };
    let mut waits = Vec::new();
    for (column, table, may_wait) in &node.references {
        let is_own = *table == node.table && !node.merge;
        if !order.deferred.contains(&(at, *column)) && !is_own && open(table) {
            waits.push((Some(*column), *may_wait));
        }
    }
    if node.merge && open(&node.table) {
        waits.push((None, false));
    }
    waits
}

#[cfg(test)]
mod tests {
    use super::*;

    fn node(table: &str, references: &[(usize, &str, bool)]) -> Node {
        let references = references.iter().map(|(c, t, w)| (*c, (*t).to_owned(), *w)).collect();
        Node { name: table.into(), table: table.into(), merge: false, references }
    }

    #[test]
    fn what_is_referenced_comes_first() {
        let nodes = [
            node("grades", &[(0, "students", false), (1, "classes", false)]),
            node("students", &[(0, "users", false)]),
            node("classes", &[(0, "teachers", true)]),
            node("teachers", &[(0, "users", false)]),
            node("users", &[]),
        ];
        let order = order(&nodes).unwrap();
        assert_eq!((order.loads, order.deferred.len()), (vec![4, 1, 3, 2, 0], 0));
    }

    #[test]
    fn a_cycle_is_opened_at_a_nullable_column() {
        let nodes = [node("a", &[(0, "b", false)]), node("b", &[(3, "a", true), (4, "b", true)])];
        let found = order(&nodes).unwrap();
        assert_eq!(found.loads, vec![1, 0]);
        assert_eq!(found.deferred, BTreeSet::from([(1, 3), (1, 4)]));
        let nodes = [node("a", &[(0, "b", false)]), node("b", &[(0, "a", false)])];
        assert_eq!(order(&nodes).unwrap_err(), "a, b");
    }

    #[test]
    fn what_only_fills_columns_comes_after_the_rows() {
        let mut merge = node("users", &[(0, "users", false)]);
        merge.merge = true;
        let nodes = [merge, node("users", &[])];
        assert_eq!(order(&nodes).unwrap().loads, vec![1, 0]);
    }
}
