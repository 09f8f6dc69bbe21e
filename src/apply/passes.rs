//! What no source change brings: expiries, people who wait, passes over everybody.

use std::collections::{BTreeSet, HashSet};

use uuid::Uuid;

use super::fetch::{fact_of, versions_of};
use super::settle::Mode;
use super::{Applier, OWNERS_PER_ROUND};
use crate::engine::rows::{self, Balance, RowPlan, Touched};
use crate::engine::{Feeds, RowId, SharedId};
use crate::error::{Error, Result};
use crate::facts::{Feed, FeedKind, SourceKey};
use crate::pg::{Group, Tx};
use crate::store;
use crate::targets::Report;

/// Units judged in one transaction of a pass.
pub(super) const PAGE: i64 = OWNERS_PER_ROUND as i64;

impl Applier {
    /// Recomputes these owners in a transaction of their own, with savepoints where the target refuses something.
    ///
    /// # Errors
    /// Those of the target.
    pub async fn recompute_alone(&mut self, touched: Touched, mode: Mode) -> Result<()> {
        if touched.is_empty() {
            return Ok(());
        }
        let tx = self.begin().await?;
        let report = match self.recompute(&tx, touched.clone(), mode).await {
            Err(Error::Data { .. }) => {
                tx.rollback().await?;
                let tx = self.begin().await?;
                let report = self.recompute(&tx, touched, mode.carefully()).await?;
                tx.commit().await?;
                report
            }
            other => {
                let report = other?;
                tx.commit().await?;
                report
            }
        };
        report.count();
        Ok(())
    }

    /// The next owners in byte order, persons without rows included.
    ///
    /// # Errors
    /// Those of the target.
    pub async fn next_owners(&self, after: &str, limit: i64) -> Result<Vec<String>> {
        let sql = include_str!("sql/next_owners.sql");
        let rows = self.db.query("target: reading owners", sql, &[&after, &limit]).await?;
        Ok(rows.iter().map(|row| row.get(0)).collect())
    }

    /// The next owners of rows that are left out, in byte order.
    ///
    /// # Errors
    /// Those of the target.
    pub async fn next_left_out(&self, after: &str, limit: i64) -> Result<Vec<String>> {
        let sql = include_str!("sql/next_left_out.sql");
        let rows = self.db.query("target: reading owners", sql, &[&after, &limit]).await?;
        Ok(rows.iter().map(|row| row.get(0)).collect())
    }

    /// Places a page of stored rows again under the rules of now. Returns the last key, `None` at the end, and the rows that
    /// are left out or let in by it.
    ///
    /// # Errors
    /// Those of the target.
    pub async fn place_page(
        &mut self,
        tx: &Tx,
        feed: Feed,
        after: &str,
    ) -> Result<(Option<String>, Balance)> {
        let page = store::row::page(tx, feed, after, PAGE).await?;
        let last = page.last().map(|row| row.id.1.0.clone());
        let (placed, unreadable) = versions_of(page, &self.env);
        store::row::set_incomplete(tx, &unreadable).await?;
        let emails: BTreeSet<String> =
            placed.iter().filter_map(|(_, _, v)| v.email()).map(ToString::to_string).collect();
        let emails: Vec<String> = emails.into_iter().collect();
        let roots = store::alias::roots(&self.db, &emails).await?;
        let before: std::collections::HashMap<_, _> =
            placed.iter().map(|(id, row, _)| (id.clone(), row.clone())).collect();
        let mut plan = rows::place_again(placed, &roots, &self.env);
        plan.writes.retain(|write| before.get(&write.id) != Some(&write.row));
        let mut group = Group::default();
        store::row::write(&mut group, &[], &plan.writes);
        group.send(tx).await?;
        Ok((last, plan.balance))
    }

    /// The transaction that the row of a payment gives.
    pub(super) fn transaction_id(&self, id: &RowId) -> Uuid {
        crate::unify::transaction_id(self.env.feeds.info(id.0), &id.1)
    }

    /// Judges a page of the values that several rows of a feed share. Returns the last (`None` at the end) and what was
    /// written.
    ///
    /// # Errors
    /// Those of the target.
    pub async fn judge_shared_page(
        &mut self,
        tx: &Tx,
        after: Option<&SharedId>,
        mode: Mode,
    ) -> Result<(Option<SharedId>, Report)> {
        let ids = self.next_shared(tx, after, PAGE).await?;
        let last = ids.last().cloned();
        if ids.is_empty() {
            return Ok((last, Report::default()));
        }
        self.mark_sharers(tx, &ids).await?;
        let touched = Touched { shared: ids.into_iter().collect(), ..Touched::default() };
        Ok((last, self.settle(tx, RowPlan::default(), touched, mode, None).await?))
    }

    /// The next values that several rows of a feed share, after a value.
    ///
    /// # Errors
    /// Those of the target.
    pub async fn next_shared(
        &self,
        tx: &Tx,
        after: Option<&SharedId>,
        limit: i64,
    ) -> Result<Vec<SharedId>> {
        let (feed, value) = after.map_or((0, ""), |(feed, value)| (feed.number(), value.as_str()));
        let sql = include_str!("sql/shared_ids.sql");
        let rows =
            tx.query("target: looking for shared ids", sql, &[&feed, &value, &limit]).await?;
        let id = |row: &tokio_postgres::Row| Some((Feed::from_number(row.get(0))?, row.get(1)));
        Ok(rows.iter().filter_map(id).collect())
    }

    /// Those of these values that several rows carry.
    pub(super) async fn shared_by_several(
        &self,
        tx: &Tx,
        ids: &[SharedId],
    ) -> Result<Vec<SharedId>> {
        let (feeds, values): (Vec<i16>, Vec<&str>) =
            ids.iter().map(|(feed, value)| (feed.number(), value.as_str())).unzip();
        let sql = include_str!("sql/shared_by_several.sql");
        let rows = tx.query("target: looking up shared ids", sql, &[&feeds, &values]).await?;
        let id = |row: &tokio_postgres::Row| Some((Feed::from_number(row.get(0))?, row.get(1)));
        Ok(rows.iter().filter_map(id).collect())
    }

    /// Marks all rows of values that several rows share, in pages: representatives are looked up among marked ones.
    pub(super) async fn mark_sharers(&self, tx: &Tx, ids: &[SharedId]) -> Result<()> {
        loop {
            let (rows, has_more) = store::shared::unmarked(tx, ids, PAGE).await?;
            let mut members = Vec::with_capacity(rows.len());
            for row in &rows {
                if let Some(fact) = fact_of(row, &self.env) {
                    members.push((row.id.clone(), fact.member()));
                }
            }
            let is_last = !has_more || members.is_empty();
            let mut group = Group::default();
            store::row::set_members(&mut group, &members);
            group.send(tx).await?;
            if is_last {
                return Ok(());
            }
        }
    }

    /// Judges a page of the persons who share a canonical key. Returns the last; `None` at the end.
    ///
    /// # Errors
    /// Those of the target.
    pub async fn judge_pairs_page(&self, tx: &Tx, after: &str) -> Result<Option<String>> {
        let members = self.canonical_members(tx, after, PAGE).await?;
        if members.is_empty() {
            return Ok(None);
        }
        self.judge_pairs_of(tx, &members).await?;
        Ok(members.last().cloned())
    }

    /// The next persons who share a canonical key, after one.
    pub(super) async fn canonical_members(
        &self,
        tx: &Tx,
        after: &str,
        limit: i64,
    ) -> Result<Vec<String>> {
        let sql = include_str!("sql/canonical_members.sql");
        let rows = tx.query("target: looking for canonical keys", sql, &[&after, &limit]).await?;
        Ok(rows.iter().map(|row| row.get(0)).collect())
    }

    /// Closes the conflicts of a page of judged units that no longer exist. Returns the last; `None` at the end.
    ///
    /// # Errors
    /// Those of the target.
    pub async fn close_stale_page(&self, tx: &Tx, after: &str) -> Result<Option<String>> {
        let after = after
            .split_once(' ')
            .and_then(|(id, scope)| Some((scope.to_owned(), id.parse().ok()?)))
            .unwrap_or_default();
        let (stale, last) = store::conflict::stale(tx, &after, PAGE).await?;
        let mut group = Group::default();
        store::conflict::close(&mut group, stale, "source");
        group.send(tx).await?;
        Ok(last.map(|(scope, id)| format!("{id} {scope}")))
    }

    /// Persons whose enrollments the change of date concerns: active ones past their expiry, and expired ones that are
    /// not (SPEC §5.4).
    ///
    /// # Errors
    /// Those of the target.
    pub async fn people_due(&self) -> Result<Touched> {
        let sql = include_str!("../targets/sql/people_due.sql")
            .replace("{enrollments}", &self.tables.names.enrollments);
        let today = self.env.today.to_string();
        let rows = self.db.query("target: looking for expiries", &sql, &[&today]).await?;
        Ok(Touched::owners(rows.iter().map(|row| row.get(0))))
    }

    /// Persons who wait for an auth user that is there now.
    ///
    /// # Errors
    /// Those of the target.
    pub async fn people_waiting(&self) -> Result<Touched> {
        if !self.tables.needs_auth_user || !self.tables.link_auth_users {
            return Ok(Touched::default());
        }
        // Where users are made, nobody waits.
        let condition = if self.tables.creates_auth_users {
            String::new()
        } else {
            format!(
                "and exists (select from {} u where u.email = w.email_key)",
                self.tables.auth_users
            )
        };
        let sql = format!(
            "select w.email_key from tributary.person w where w.state = 'waiting' {condition}"
        );
        let rows = self.db.query("target: looking for auth users", &sql, &[]).await?;
        Ok(Touched::owners(rows.iter().map(|row| row.get(0))))
    }

    /// Payments that are gone or give no transaction, and whose transaction the application references.
    ///
    /// # Errors
    /// Those of the target.
    pub async fn blocked_deletes(&self) -> Result<BTreeSet<RowId>> {
        if !self.has_blocked_deletes {
            return Ok(BTreeSet::new());
        }
        let is_blocked = store::conflict::IS_BLOCKED_DELETE;
        let sql = format!("select scope from tributary.conflict where {is_blocked}");
        let rows = self.db.query("target: reading blocked deletes", &sql, &[]).await?;
        let row = |row: &tokio_postgres::Row| {
            let scope: &str = row.get(0);
            self.env.feeds.row_id(scope.strip_prefix("blocked:").unwrap_or(scope))
        };
        Ok(rows.iter().filter_map(row).collect())
    }

    /// Tries to delete the transactions of these rows again.
    ///
    /// # Errors
    /// Those of the target.
    pub async fn retry_blocked_deletes(&mut self, rows: BTreeSet<RowId>) -> Result<()> {
        if rows.is_empty() {
            return Ok(());
        }
        let tx = self.begin().await?;
        let there = store::row::by_key(&tx, &rows.iter().cloned().collect()).await?;
        // One that is there again and gives a transaction is blocked by nothing; of what is not noted its owner tells.
        let (mut back, mut gone, mut unknown) = (Vec::new(), Vec::new(), BTreeSet::new());
        for id in rows {
            match there.get(&id).map(|row| (row.outcome, &row.owner)) {
                None | Some((Some(crate::engine::NO_TRANSACTION), _)) => gone.push(id),
                Some((Some(_), _)) => back.push(id),
                Some((None, owner)) => {
                    unknown.insert(owner.clone());
                }
            }
        }
        let payments = gone.iter().filter(|id| self.env.feeds.kind(id.0) == FeedKind::Payment);
        let wanted = self.transaction_ids(&tx, payments.cloned()).await?;
        let deleted = self.delete_transactions(&tx, &wanted, Mode::RETRY).await?;
        let tried: HashSet<&RowId> = wanted.values().collect();
        let over = gone.iter().filter(|id| !tried.contains(id)).chain(&back);
        self.judge_blocked(&tx, over, Vec::new()).await?;
        let mut report = self.recompute(&tx, Touched::owners(unknown), Mode::RETRY).await?;
        tx.commit().await?;
        report.deleted += deleted;
        report.count();
        Ok(())
    }

    /// Some source keys of a feed after a key, for a TRUNCATE that was accepted.
    ///
    /// # Errors
    /// Those of the target.
    pub async fn keys_after(
        &self,
        tx: &Tx,
        feed: Feed,
        after: &str,
        limit: i64,
    ) -> Result<Vec<SourceKey>> {
        let sql = "select key from tributary.source_row where feed = $1 and key > $2 \
                   order by feed, key limit $3";
        let what = "target: reading source keys";
        let rows = tx.query(what, sql, &[&feed.number(), &after, &limit]).await?;
        Ok(rows.iter().map(|row| SourceKey(row.get(0))).collect())
    }
}

/// The row of a name such as `xendit:4f…`.
///
/// # Errors
/// A refusal that names the form, for texts that people typed.
pub fn parse_source_row(feeds: &Feeds, text: &str) -> Result<RowId> {
    feeds.row_id(text).ok_or_else(|| {
        let names: Vec<&str> = feeds.all().map(|feed| feed.info.name.as_str()).collect();
        Error::refused(
            // What was typed may be an address (P14).
            "that is not a source row".to_owned(),
            format!(
                "write <feed>:<key>, as `tributary conflicts show` prints it; the feeds are {}",
                names.join(", ")
            ),
        )
    })
}
