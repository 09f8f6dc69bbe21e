//! The review queue (SPEC §6): what the current rows imply is open, everything else closes by itself.

use std::collections::{BTreeMap, BTreeSet, HashMap, HashSet};

use rayon::prelude::*;
use uuid::Uuid;

use super::Writer;
use super::text::{TextColumns, text_params};
use crate::error::Result;
use crate::rules::NAMESPACE;
use crate::unify::Conflict;

/// A conflict as it is stored.
struct Existing {
    status: String,
    digest: Uuid,
    severity: String,
    scope: String,
}

/// What to do with a conflict that the rows imply.
#[derive(Debug, PartialEq, Eq)]
enum Verdict {
    /// It is stored so already.
    Keep,
    /// Write it with this status.
    Write(&'static str),
}

/// The digest of evidence: a dismissal holds while it stays the same.
pub(super) fn evidence_digest(evidence: &serde_json::Value) -> Uuid {
    Uuid::new_v5(&NAMESPACE, evidence.to_string().as_bytes())
}

impl Writer {
    /// Makes the open conflicts of these scopes exactly the wanted ones.
    pub(super) async fn reconcile_conflicts(
        &self,
        scopes: &BTreeSet<String>,
        wanted: Vec<Conflict>,
    ) -> Result<()> {
        let judged = wanted.into_par_iter().map(|conflict| {
            let digest = evidence_digest(&conflict.evidence);
            (conflict.fingerprint(), (conflict, digest))
        });
        let wanted: BTreeMap<Uuid, (Conflict, Uuid)> =
            judged.collect::<Vec<_>>().into_iter().collect();
        let scopes: Vec<&str> = scopes.iter().map(String::as_str).collect();
        let fingerprints: Vec<Uuid> = wanted.keys().copied().collect();
        let (existing, dismissed) = tokio::try_join!(
            self.existing_conflicts(&scopes, &fingerprints),
            self.dismissals(&fingerprints),
        )?;
        let mut writes = Vec::new();
        for (fingerprint, (conflict, digest)) in &wanted {
            let is_dismissed = dismissed.get(fingerprint) == Some(digest);
            match verdict(existing.get(fingerprint), conflict, *digest, is_dismissed) {
                Verdict::Keep => {}
                Verdict::Write(status) => writes.push((*fingerprint, conflict, *digest, status)),
            }
        }
        let writes = TextColumns::of(&writes, |(fingerprint, conflict, digest, status)| {
            conflict_columns(*fingerprint, conflict, *digest, status)
        });
        let gone: Vec<Uuid> = existing
            .iter()
            .filter(|(fingerprint, existing)| {
                existing.status != "resolved" && !wanted.contains_key(*fingerprint)
            })
            .map(|(fingerprint, _)| *fingerprint)
            .collect();
        self.write_conflicts(&writes).await?;
        self.close_conflicts(&gone, "source").await
    }

    /// Opens conflicts without judging anything else, such as one that only a change shows.
    pub(super) async fn open_conflicts(&self, conflicts: Vec<Conflict>) -> Result<()> {
        if conflicts.is_empty() {
            return Ok(());
        }
        self.reconcile_conflicts(&BTreeSet::new(), conflicts).await
    }

    async fn existing_conflicts(
        &self,
        scopes: &[&str],
        fingerprints: &[Uuid],
    ) -> Result<HashMap<Uuid, Existing>> {
        let sql = include_str!("sql/existing_conflicts.sql");
        let rows =
            self.db.query("target: reading conflicts", sql, &[&scopes, &fingerprints]).await?;
        Ok(rows
            .iter()
            .map(|row| {
                let existing = Existing {
                    status: row.get(1),
                    digest: row.get(2),
                    severity: row.get(3),
                    scope: row.get(4),
                };
                (row.get(0), existing)
            })
            .collect())
    }

    /// The evidence that was dismissed, by fingerprint.
    async fn dismissals(&self, fingerprints: &[Uuid]) -> Result<HashMap<Uuid, Uuid>> {
        if fingerprints.is_empty() {
            return Ok(HashMap::new());
        }
        let names: Vec<String> = fingerprints.iter().map(Uuid::to_string).collect();
        let sql = "select a::uuid, b::uuid from tributary.decision \
                   where kind = 'dismiss' and reverted_at is null and a = any($1)";
        let rows = self.db.query("target: reading dismissals", sql, &[&names]).await?;
        Ok(rows.iter().map(|row| (row.get(0), row.get(1))).collect())
    }

    async fn write_conflicts(&self, rows: &TextColumns) -> Result<()> {
        if rows.is_empty() {
            return Ok(());
        }
        let sql = include_str!("sql/write_conflicts.sql").replace("{params}", &text_params(8));
        self.db.execute("target: writing conflicts", &sql, &rows.params()).await?;
        Ok(())
    }

    /// Closes conflicts. `by` is `source`, or who decided.
    pub(super) async fn close_conflicts(&self, fingerprints: &[Uuid], by: &str) -> Result<()> {
        if fingerprints.is_empty() {
            return Ok(());
        }
        let sql = "update tributary.conflict \
                   set status = 'resolved', resolved_at = now(), resolved_by = $2 \
                   where fingerprint = any($1) and status <> 'resolved'";
        self.db.execute("target: closing conflicts", sql, &[&fingerprints, &by]).await?;
        Ok(())
    }

    /// Closes what is left of rows and owners that no longer exist; the end of a full pass.
    pub(super) async fn close_stale_conflicts(&self) -> Result<()> {
        let sql = include_str!("sql/close_stale_conflicts.sql");
        self.db.execute("target: closing stale conflicts", sql, &[]).await?;
        Ok(())
    }

    /// Scopes that are stored at all, so that nothing else need be looked up.
    pub(super) async fn scopes_with_prefix(&self, prefix: &str) -> Result<HashSet<String>> {
        let sql = "select distinct scope from tributary.conflict \
                   where status <> 'resolved' and scope >= $1 and scope < $1 || chr(65533)";
        let rows = self.db.query("target: reading conflict scopes", sql, &[&prefix]).await?;
        Ok(rows.iter().map(|row| row.get(0)).collect())
    }

    /// Which of these scopes are stored.
    pub(super) async fn stored_scopes(&self, scopes: &[String]) -> Result<BTreeSet<String>> {
        let sql = "select distinct scope from tributary.conflict \
                   where status <> 'resolved' and scope = any($1)";
        let rows = self.db.query("target: reading conflict scopes", sql, &[&scopes]).await?;
        Ok(rows.iter().map(|row| row.get(0)).collect())
    }
}

fn verdict(
    existing: Option<&Existing>,
    conflict: &Conflict,
    digest: Uuid,
    is_dismissed: bool,
) -> Verdict {
    let status = if is_dismissed { "dismissed" } else { "open" };
    match existing {
        Some(existing)
            if existing.status == status
                && existing.digest == digest
                && existing.severity == conflict.severity.as_str()
                && existing.scope == conflict.scope =>
        {
            Verdict::Keep
        }
        _ => Verdict::Write(status),
    }
}

fn conflict_columns(
    fingerprint: Uuid,
    conflict: &Conflict,
    digest: Uuid,
    status: &str,
) -> [Option<String>; 8] {
    [
        Some(conflict.kind.as_str().to_owned()),
        Some(conflict.severity.as_str().to_owned()),
        Some(status.to_owned()),
        Some(conflict.subject.clone()),
        Some(fingerprint.to_string()),
        Some(conflict.scope.clone()),
        Some(conflict.evidence.to_string()),
        Some(digest.to_string()),
    ]
}
