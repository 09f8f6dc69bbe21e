//! Two images of a target table held against each other: what was inserted, updated by column, left alone and deleted, and
//! which rows nothing supports.

use std::collections::BTreeMap;

use super::column_types::column_types;
use super::statements::comparable;
use crate::config::TableName;
use crate::engine::columns::{ENROLLMENT, PROFILE, TRANSACTION};
use crate::error::{Context as _, Result};
use crate::pg::Client;

const WHAT: &str = "target: comparing tables";

/// A target table by what it holds.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Role {
    /// Profiles.
    Profiles,
    /// Transactions.
    Transactions,
    /// Enrollments.
    Enrollments,
}

impl Role {
    /// All of them, referenced ones first.
    pub const ALL: [Self; 3] = [Self::Profiles, Self::Transactions, Self::Enrollments];

    /// The word in reports.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Profiles => "profiles",
            Self::Transactions => "transactions",
            Self::Enrollments => "enrollments",
        }
    }

    /// The columns that the daemon writes, without the id (SPEC §2).
    fn columns(self) -> Vec<&'static str> {
        match self {
            Self::Profiles => PROFILE[1..].to_vec(),
            Self::Transactions => TRANSACTION[1..].to_vec(),
            Self::Enrollments => [&ENROLLMENT[1..], &["metadata"]].concat(),
        }
    }

    /// Whether a row `r` of it is supported. `tributary_supported` holds the transactions that payments give.
    #[must_use]
    pub fn supported(self) -> &'static str {
        match self {
            Self::Profiles => "exists (select from tributary.person o where o.profile_id = r.id)",
            Self::Transactions => "exists (select from tributary_supported s where s.id = r.id)",
            Self::Enrollments => {
                "(coalesce(tributary.metadata(r.metadata) ->> 'managed_by' = 'tributary', false) \
                  and exists (select from tributary.person o where o.profile_id = r.user_id))"
            }
        }
    }
}

/// What became of the rows of a table.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Changes {
    /// Rows that were not there.
    pub inserted: u64,
    /// Rows of which a column that the daemon writes is another now.
    pub updated: u64,
    /// Rows that are as they were and supported.
    pub unchanged: u64,
    /// Rows that are as they were, which nothing supports.
    pub unsupported: u64,
    /// Rows that are no more.
    pub deleted: u64,
    /// Updated rows by column.
    pub columns: BTreeMap<String, u64>,
    /// Ids of rows by column, `unsupported` for those that nothing supports.
    pub examples: BTreeMap<String, Vec<String>>,
}

/// Compares a table with its image before.
///
/// # Errors
/// Those of the target.
pub async fn between(
    client: &Client,
    role: Role,
    before: &str,
    now: &TableName,
) -> Result<Changes> {
    let types = column_types(client, now).await?;
    let columns = role.columns();
    let differs = |column: &&str| {
        let (old, new) = (comparable("b", column, &types), comparable("r", column, &types));
        format!("{old} is distinct from {new}")
    };
    let flags: Vec<String> = columns
        .iter()
        .enumerate()
        .map(|(at, column)| {
            format!("b.id is not null and r.id is not null and {} as d{at}", differs(column))
        })
        .collect();
    let any: Vec<String> = (0..columns.len()).map(|at| format!("d{at}")).collect();
    let counts: Vec<String> = (0..columns.len())
        .map(|at| {
            format!(
                "count(*) filter (where d{at}), min(id) filter (where d{at}), max(id) filter (where d{at})"
            )
        })
        .collect();
    let sql = format!(
        "with c as (select coalesce(r.id, b.id)::text as id, b.id is null as inserted, r.id is null as deleted, \
             {flags}, {supported} as supported \
           from {before} b full join {now} r on r.id = b.id), \
         j as (select *, {any} as updated from c) \
         select count(*) filter (where inserted), count(*) filter (where updated), \
           count(*) filter (where kept and supported), count(*) filter (where kept and not supported), \
           count(*) filter (where deleted), \
           min(id) filter (where kept and not supported), max(id) filter (where kept and not supported), \
           {counts} \
         from (select *, not (inserted or deleted or updated) as kept from j) k",
        flags = flags.join(", "),
        supported = role.supported(),
        now = now.quoted(),
        any = any.join(" or "),
        counts = counts.join(", "),
    );
    let row = client.query_one(&sql, &[]).await.context(WHAT)?;
    let count = |at: usize| row.get::<_, i64>(at).unsigned_abs();
    let ids = |at: usize| -> Vec<String> {
        let mut ids: Vec<String> = (at..at + 2).filter_map(|at| row.get(at)).collect();
        ids.dedup();
        ids
    };
    let mut changes = Changes {
        inserted: count(0),
        updated: count(1),
        unchanged: count(2),
        unsupported: count(3),
        deleted: count(4),
        ..Changes::default()
    };
    if changes.unsupported > 0 {
        changes.examples.insert("unsupported".to_owned(), ids(5));
    }
    for (at, column) in columns.iter().enumerate() {
        let first = 7 + 3 * at;
        if count(first) > 0 {
            changes.columns.insert((*column).to_owned(), count(first));
            changes.examples.insert((*column).to_owned(), ids(first + 1));
        }
    }
    Ok(changes)
}
