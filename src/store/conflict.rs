//! `tributary.conflict`: the review queue (SPEC §6).

use std::collections::{BTreeMap, HashMap, HashSet};

use rust_decimal::Decimal;
use uuid::Uuid;

use crate::engine::{AtStake, StoredConflict, WantedConflict};
use crate::error::{Context as _, Result};
use crate::pg::{COPY_FROM, Client, Group, Owned, Tx, copy_text};

/// The condition on deletes that are blocked, by the index of scopes.
pub const IS_BLOCKED_DELETE: &str = "status <> 'resolved' and scope >= 'blocked:' and scope < 'blocked;' \
     and kind = 'delete_blocked'";

/// The conflicts that are not resolved and were judged from these units, or concern `also` these, by fingerprint.
///
/// # Errors
/// Those of the target.
pub async fn by_scope(
    tx: &Tx,
    scopes: &[String],
    also: &[String],
) -> Result<HashMap<Uuid, StoredConflict>> {
    if scopes.is_empty() {
        return Ok(HashMap::new());
    }
    let sql = include_str!("sql/conflicts_by_scope.sql");
    let rows = tx.query("target: reading conflicts", sql, &[&scopes, &also]).await?;
    Ok(rows
        .iter()
        .map(|row| {
            let conflict = StoredConflict {
                kind: row.get(1),
                status: row.get(2),
                digest: row.get(3),
                severity: row.get(4),
                scope: row.get(5),
                also: row.get(6),
                // One that no Decimal holds is written again.
                amount: row.get::<_, &str>(7).parse().unwrap_or(Decimal::MIN),
            };
            (row.get(0), conflict)
        })
        .collect())
}

/// How many open conflicts there are of each kind.
///
/// # Errors
/// Those of the target.
pub async fn open_by_kind(client: &Client) -> Result<BTreeMap<String, u64>> {
    let sql = "select kind, count(*) from tributary.conflict where status = 'open' group by kind";
    let rows = client.query(sql, &[]).await.context("target: counting conflicts")?;
    Ok(rows.iter().map(|row| (row.get(0), row.get::<_, i64>(1).unsigned_abs())).collect())
}

/// Whether any conflict is open that was found before the backfill under way began.
///
/// # Errors
/// Those of the target.
pub async fn has_earlier(tx: &Tx) -> Result<bool> {
    let sql = include_str!("sql/has_earlier_conflicts.sql");
    let rows = tx.query("target: looking for stale conflicts", sql, &[]).await?;
    Ok(rows.first().is_none_or(|row| row.get(0)))
}

/// The evidence that was dismissed, by fingerprint. People dismiss one by one, so they fit in memory.
///
/// # Errors
/// Those of the target.
pub async fn dismissals(db: &crate::pg::Db) -> Result<HashMap<Uuid, Uuid>> {
    let sql = "select a::uuid, b::uuid from tributary.decision \
               where kind = 'dismiss' and reverted_at is null";
    let rows = db.query("target: reading dismissals", sql, &[]).await?;
    Ok(rows.iter().map(|row| (row.get(0), row.get(1))).collect())
}

/// Adds conflicts to a group, each with its status: one that was resolved opens again under its id.
pub fn write(group: &mut Group, writes: Vec<(WantedConflict, &'static str)>) {
    if writes.is_empty() {
        return;
    }
    let count = writes.len();
    let mut columns = Columns::default();
    for (finding, status) in writes {
        columns.push(finding, status);
    }
    let sql = include_str!("sql/write_conflicts.sql");
    group.exactly(count, "target: writing conflicts", sql, columns.params());
}

/// Copies the conflicts that were never stored, where there are many; [`write()`] takes the others: those that were
/// resolved open again under their id, and the money of people is looked up.
///
/// # Errors
/// Those of the target.
pub async fn copy_new(tx: &Tx, writes: &mut Vec<(WantedConflict, &'static str)>) -> Result<()> {
    let may_be_new =
        |(finding, _): &(WantedConflict, &'static str)| finding.at_stake.people.is_empty();
    let fingerprints: Vec<Uuid> =
        writes.iter().filter(|write| may_be_new(write)).map(|(f, _)| f.fingerprint).collect();
    if fingerprints.len() < COPY_FROM {
        return Ok(());
    }
    let sql = "select fingerprint from tributary.conflict where fingerprint = any($1)";
    let rows = tx.query("target: looking up conflicts", sql, &[&fingerprints]).await?;
    let there: HashSet<Uuid> = rows.iter().map(|row| row.get(0)).collect();
    let is_new = |write: &mut (WantedConflict, &'static str)| {
        may_be_new(write) && !there.contains(&write.0.fingerprint)
    };
    let new: Vec<[Option<String>; COPIED.len()]> =
        writes.extract_if(.., is_new).map(copied).collect();
    let (what, columns) = ("target: copying conflicts", COPIED.join(", "));
    let rows = new.iter().map(<[Option<String>; COPIED.len()]>::as_slice);
    copy_text(tx, what, "tributary.conflict", &columns, rows, &[]).await?;
    Ok(())
}

/// The columns of [`copied`].
const COPIED: [&str; 10] = [
    "kind",
    "severity",
    "status",
    "subject",
    "fingerprint",
    "scope",
    "also",
    "evidence",
    "evidence_digest",
    "amount",
];

fn copied((finding, status): (WantedConflict, &'static str)) -> [Option<String>; COPIED.len()] {
    let amount = finding.at_stake.amount.unwrap_or_default();
    [
        Some(finding.kind.as_str().to_owned()),
        Some(finding.severity.as_str().to_owned()),
        Some(status.to_owned()),
        Some(finding.subject),
        Some(finding.fingerprint.to_string()),
        Some(finding.scope),
        finding.also,
        Some(finding.evidence),
        Some(finding.digest.to_string()),
        Some(amount.to_string()),
    ]
}

/// Wanted conflicts as one array a column, in the order of the statement's parameters.
#[derive(Default)]
struct Columns {
    kinds: Vec<&'static str>,
    severities: Vec<&'static str>,
    statuses: Vec<&'static str>,
    subjects: Vec<String>,
    fingerprints: Vec<Uuid>,
    scopes: Vec<String>,
    also: Vec<Option<String>>,
    evidence: Vec<String>,
    digests: Vec<Uuid>,
    amounts: Vec<Option<String>>,
    /// A line each.
    people: Vec<Option<String>>,
}

impl Columns {
    fn push(&mut self, finding: WantedConflict, status: &'static str) {
        self.kinds.push(finding.kind.as_str());
        self.severities.push(finding.severity.as_str());
        self.statuses.push(status);
        self.subjects.push(finding.subject);
        self.fingerprints.push(finding.fingerprint);
        self.scopes.push(finding.scope);
        self.also.push(finding.also);
        self.evidence.push(finding.evidence);
        self.digests.push(finding.digest);
        let AtStake { amount, people } = finding.at_stake;
        self.amounts.push(amount.map(|amount| amount.to_string()));
        self.people.push((!people.is_empty()).then(|| people.join("\n")));
    }

    fn params(self) -> Vec<Owned> {
        vec![
            Box::new(self.kinds),
            Box::new(self.severities),
            Box::new(self.statuses),
            Box::new(self.subjects),
            Box::new(self.fingerprints),
            Box::new(self.scopes),
            Box::new(self.also),
            Box::new(self.evidence),
            Box::new(self.digests),
            Box::new(self.amounts),
            Box::new(self.people),
        ]
    }
}

/// Adds the closing of conflicts to a group. `by` is `source`, or who decided.
pub fn close(group: &mut Group, fingerprints: Vec<Uuid>, by: &str) {
    if fingerprints.is_empty() {
        return;
    }
    let sql = "update tributary.conflict \
               set status = 'resolved', resolved_at = now(), resolved_by = $2 \
               where fingerprint = any($1) and status <> 'resolved'";
    group.any(
        "target: closing conflicts",
        sql,
        vec![Box::new(fingerprints), Box::new(by.to_owned())],
    );
}

/// Closes what is left of one owner, row or person that no longer exists: conflicts of a scope without a cause.
///
/// # Errors
/// Those of the target.
pub async fn stale(
    tx: &Tx,
    after: &(String, Uuid),
    limit: i64,
) -> Result<(Vec<Uuid>, Option<(String, Uuid)>)> {
    let sql = include_str!("sql/stale_conflicts.sql");
    let rows =
        tx.query("target: looking for stale conflicts", sql, &[&after.0, &after.1, &limit]).await?;
    let last = rows.last().map(|row| (row.get(0), row.get(1)));
    let stale = rows.iter().filter(|row| row.get(2)).map(|row| row.get(1)).collect();
    Ok((stale, last))
}
