//! Reads the review queue.

use jiff::Timestamp;
use serde::Serialize;
use serde_json::Value;
use tokio_postgres::Row;
use uuid::Uuid;

use crate::error::{Error, Result};
use crate::pg::{Db, Param};
use crate::unify::ConflictKind;

/// Which conflicts. Everything that is set must hold.
#[derive(Debug, Clone, Default)]
pub(crate) struct Filter {
    /// Any of these kinds; empty is all.
    pub(crate) kinds: Vec<&'static str>,
    /// `review` or `info`.
    pub(crate) severity: Option<&'static str>,
    /// `open`, `dismissed` or `resolved`.
    pub(crate) status: Option<&'static str>,
    /// A part of the subject, ignoring case.
    pub(crate) subject: Option<String>,
    /// An e-mail key that the subject or the evidence names.
    pub(crate) email: Option<String>,
    /// First seen at this time or later.
    pub(crate) since: Option<Timestamp>,
}

/// A conflict as stored (SPEC §6).
#[derive(Debug, Clone, Serialize)]
pub(crate) struct Stored {
    pub(crate) id: i64,
    pub(crate) kind: String,
    pub(crate) severity: String,
    pub(crate) status: String,
    pub(crate) subject: String,
    pub(crate) evidence: Value,
    pub(crate) first_seen_at: Timestamp,
    pub(crate) last_seen_at: Timestamp,
    pub(crate) resolved_at: Option<Timestamp>,
    pub(crate) resolved_by: Option<String>,
    pub(crate) note: Option<String>,
    #[serde(skip)]
    pub(crate) fingerprint: Uuid,
}

impl Stored {
    pub(crate) fn of(row: &Row) -> Self {
        Self {
            id: row.get("id"),
            kind: row.get("kind"),
            severity: row.get("severity"),
            status: row.get("status"),
            subject: row.get("subject"),
            evidence: row.get("evidence"),
            first_seen_at: row.get("first_seen_at"),
            last_seen_at: row.get("last_seen_at"),
            resolved_at: row.get("resolved_at"),
            resolved_by: row.get("resolved_by"),
            note: row.get("note"),
            fingerprint: row.get("fingerprint"),
        }
    }

    /// The kind, where this program knows it.
    pub(crate) fn kind(&self) -> Result<ConflictKind> {
        ConflictKind::parse(&self.kind).ok_or_else(|| {
            Error::refused(
                format!("conflict {} is of a kind that this version does not know", self.id),
                "use the version of tributary that the daemon runs",
            )
        })
    }
}

/// How many conflicts there are of a kind.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub(crate) struct Count {
    pub(crate) kind: String,
    pub(crate) severity: String,
    pub(crate) count: i64,
}

pub(crate) const COLUMNS: &str = "id, kind, severity, status, subject, evidence, first_seen_at, last_seen_at, \
                       resolved_at, resolved_by, note, fingerprint";

const WHERE: &str = include_str!("sql/conflicts_where.sql");

/// The conflicts, those to review first, oldest first.
pub(crate) async fn list(db: &Db, filter: &Filter, limit: i64) -> Result<Vec<Stored>> {
    let sql = format!(
        "select {COLUMNS} from tributary.conflict k {WHERE} order by severity = 'info', id limit $7"
    );
    let rows = select(db, &sql, filter, &[&limit]).await?;
    Ok(rows.iter().map(Stored::of).collect())
}

/// How many there are, by kind.
pub(crate) async fn counts(db: &Db, filter: &Filter) -> Result<Vec<Count>> {
    let sql = format!(
        "select kind, severity, count(*) from tributary.conflict k {WHERE} \
         group by kind, severity order by severity = 'info', count(*) desc, kind"
    );
    let rows = select(db, &sql, filter, &[]).await?;
    let count = |row: &Row| Count { kind: row.get(0), severity: row.get(1), count: row.get(2) };
    Ok(rows.iter().map(count).collect())
}

/// Ids above `after`, ascending, at most `limit`.
pub(crate) async fn ids(db: &Db, filter: &Filter, after: i64, limit: i64) -> Result<Vec<i64>> {
    let sql =
        format!("select id from tributary.conflict k {WHERE} and id > $7 order by id limit $8");
    let rows = select(db, &sql, filter, &[&after, &limit]).await?;
    Ok(rows.iter().map(|row| row.get(0)).collect())
}

async fn select(db: &Db, sql: &str, filter: &Filter, more: &[Param<'_>]) -> Result<Vec<Row>> {
    let kinds = Some(&filter.kinds).filter(|kinds| !kinds.is_empty());
    let mut params: Vec<Param<'_>> = vec![
        &kinds,
        &filter.severity,
        &filter.status,
        &filter.subject,
        &filter.email,
        &filter.since,
    ];
    params.extend_from_slice(more);
    db.query("target: reading conflicts", sql, &params).await
}

/// One conflict.
///
/// # Errors
/// Those of the target; a refusal where there is none.
pub(crate) async fn one(db: &Db, id: i64) -> Result<Stored> {
    let sql = format!("select {COLUMNS} from tributary.conflict where id = $1");
    let rows = db.query("target: reading conflicts", &sql, &[&id]).await?;
    rows.first().map(Stored::of).ok_or_else(|| {
        Error::refused(
            format!("there is no conflict {id}"),
            "`tributary conflicts list` shows them",
        )
    })
}

/// Open conflicts about a source row, or about a field of it.
pub(crate) async fn of_row(db: &Db, row: &str) -> Result<Vec<i64>> {
    let sql = "select id from tributary.conflict where status = 'open' \
               and (subject = $1 or starts_with(subject, $1 || '#')) order by id";
    let rows = db.query("target: reading conflicts", sql, &[&row]).await?;
    Ok(rows.iter().map(|row| row.get(0)).collect())
}

/// A decision about a conflict.
#[derive(Debug, Clone, Serialize)]
pub(crate) struct Decided {
    pub(crate) id: i64,
    pub(crate) kind: String,
    pub(crate) a: String,
    pub(crate) b: String,
    pub(crate) actor: String,
    pub(crate) note: Option<String>,
    pub(crate) created_at: Timestamp,
    pub(crate) reverted_at: Option<Timestamp>,
    pub(crate) reverted_by: Option<String>,
}

/// What was decided about a conflict, oldest first: under its id, its dismissals, and decisions about its
/// source row or its two people.
pub(crate) async fn history(
    db: &Db,
    conflict: &Stored,
    pair: Option<&(String, String)>,
) -> Result<Vec<Decided>> {
    let row = conflict.evidence["source_row"].as_str();
    let (a, b) = pair.map_or((None, None), |(a, b)| (Some(a), Some(b)));
    let sql = include_str!("sql/decisions_of_conflict.sql");
    let fingerprint = conflict.fingerprint.to_string();
    let params: [Param<'_>; 5] = [&conflict.id, &fingerprint, &row, &a, &b];
    let rows = db.query("target: reading decisions", sql, &params).await?;
    let decided = |row: &Row| Decided {
        id: row.get(0),
        kind: row.get(1),
        a: row.get(2),
        b: row.get(3),
        actor: row.get(4),
        note: row.get(5),
        created_at: row.get(6),
        reverted_at: row.get(7),
        reverted_by: row.get(8),
    };
    Ok(rows.iter().map(decided).collect())
}
