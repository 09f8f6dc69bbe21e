//! Rows as one text array a column: the shape in which sets of rows travel to `unnest`.

use crate::cores;

/// Rows as columns of text, ready to be parameters of `unnest($1::text[], $2::text[], …)`.
pub struct TextColumns {
    columns: Vec<Vec<Option<String>>>,
}

impl TextColumns {
    /// No rows yet, with this many columns.
    #[must_use]
    pub fn new(width: usize) -> Self {
        Self { columns: vec![Vec::new(); width] }
    }

    /// The columns of these items, a row each, made on all cores: it is most of the daemon's own work.
    pub fn of<T: Sync, const N: usize>(
        items: &[T],
        row: impl Fn(&T) -> [Option<String>; N] + Sync + Send,
    ) -> Self {
        let rows = cores::map_of(items, row);
        let mut columns = Self { columns: vec![Vec::with_capacity(rows.len()); N] };
        for row in rows {
            columns.push(row);
        }
        columns
    }

    /// Adds a row of as many values as there are columns.
    pub fn push<const N: usize>(&mut self, row: [Option<String>; N]) {
        debug_assert_eq!(N, self.columns.len());
        for (column, value) in self.columns.iter_mut().zip(row) {
            column.push(value);
        }
    }

    /// Whether there are no rows.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.columns.first().is_none_or(Vec::is_empty)
    }

    /// The parameters of a [`super::Group`], one a column.
    #[must_use]
    pub fn owned(self) -> Vec<super::group::Owned> {
        self.columns.into_iter().map(|column| Box::new(column) as super::group::Owned).collect()
    }

    /// The parameters, one a column.
    #[must_use]
    pub fn params(&self) -> Vec<super::Param<'_>> {
        self.columns.iter().map(|column| column as super::Param<'_>).collect()
    }
}

/// `$1::text[], …, $n::text[]`.
#[must_use]
pub fn text_params(count: usize) -> String {
    (1..=count).map(|n| format!("${n}::text[]")).collect::<Vec<_>>().join(", ")
}
