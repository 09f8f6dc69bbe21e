//! A source transaction too large for memory (P13): its parts are stored one by one in the target transaction that its
//! commit will end. Each row as it was before, and what is touched, wait in working tables of the session; e-mail
//! changes, owners and shared ids come last, in pages.

use std::collections::{BTreeSet, HashMap};

use super::settle::Mode;
use super::{Applier, OWNERS_PER_ROUND};
use crate::engine::diff::Trust;
use crate::engine::email_change::Transition;
use crate::engine::rows::{self, Balance, RowPlan, Touched};
use crate::engine::versions;
use crate::engine::{Arrival, NO_TRANSACTION, RowChange, RowId, SharedId, StoredRow};
use crate::error::{Error, Result};
use crate::facts::{EmailKey, Feed, FeedKind};
use crate::pg::{Group, Tx};
use crate::store;
use crate::targets::Report;

/// Rows of a working table read at once.
const PAGE: i64 = OWNERS_PER_ROUND as i64;

/// Refusals are isolated at once: the transaction cannot be repeated from memory.
const MODE: Mode =
    Mode { trust: Trust::Digests, careful: true, with_quarantined: true, ..Mode::STREAM };

impl Applier {
    /// Stores the changes of one part, in halves where the values that the stream left out are too many bytes (P13). Nothing is
    /// decided of their owners yet.
    ///
    /// # Errors
    /// Those of both servers.
    pub async fn apply_part(&mut self, tx: &Tx, changes: &[RowChange]) -> Result<()> {
        self.plans.grow(tx, changes.len()).await?;
        let mut parts = vec![changes];
        while let Some(changes) = parts.pop() {
            let Some(mut part) = self.decide_part(tx, changes, Arrival::Stream).await? else {
                let (first, second) = changes.split_at(changes.len() / 2);
                parts.extend([second, first]);
                continue;
            };
            let mut group = Group::default();
            remember_rows(&mut group, &part.plan, &part.stored, self.has_blocked_deletes);
            remember_keys(&mut group, &part.renamed);
            self.add_holders(tx, &mut part.plan.touched).await?;
            remember_touched(&mut group, &part.plan.touched);
            write_part(tx, group, part.plan, self.env.generation).await?;
        }
        Ok(())
    }

    /// Adds the people with whom the touched contact_ids stay before the rows are stored: once they are, nothing shows that
    /// somebody else held an id (SPEC §4.4).
    pub(super) async fn add_holders(&self, tx: &Tx, touched: &mut Touched) -> Result<()> {
        let is_contact = |(feed, _): &&SharedId| self.env.feeds.kind(*feed) == FeedKind::Contact;
        let ids: Vec<SharedId> = touched.shared.iter().filter(is_contact).cloned().collect();
        touched.owners.extend(store::shared::stored_holders(tx, &ids).await?);
        Ok(())
    }

    /// Marks the rows that share these ids, where several do.
    pub(super) async fn mark_touched_sharers(&self, tx: &Tx, ids: &[SharedId]) -> Result<()> {
        let several = self.shared_by_several(tx, ids).await?;
        self.mark_sharers(tx, &several).await
    }

    /// Applies a source transaction whose changes are there, inside an open target transaction.
    pub(super) async fn apply_in_parts(
        &mut self,
        tx: &Tx,
        changes: &[RowChange],
    ) -> Result<Report> {
        self.apply_part(tx, changes).await?;
        let report = self.finish_large(tx, &|| ()).await?;
        // Another one may follow before the commit that empties them.
        let empty = "delete from tributary_open_row; delete from tributary_open_owner; \
                     delete from tributary_open_shared; delete from tributary_open_change";
        tx.batch("target: clearing working tables", empty).await?;
        Ok(report)
    }

    /// Stores rows that a reconcile read. What a row's e-mail key was before it is kept until the whole reconcile is
    /// judged (SPEC §4.3). The caller commits. Returns which of them the configuration leaves out or lets in again.
    ///
    /// # Errors
    /// Those of both servers.
    pub async fn store_rows(
        &mut self,
        tx: &Tx,
        changes: &[RowChange],
        arrival: Arrival,
    ) -> Result<Balance> {
        let part = self.decide_part(tx, changes, arrival).await?;
        let part = part.ok_or_else(|| Error::failed("storing rows", "they were not read whole"))?;
        let balance = part.plan.balance.clone();
        let mut group = Group::default();
        let changed = part.plan.writes.iter().filter_map(|write| {
            let email = part.stored.get(&write.id)?.email.as_ref()?;
            (write.row.email.as_ref() != Some(email)).then_some((&write.id, email))
        });
        store::email_before::remember(&mut group, changed);
        write_part(tx, group, part.plan, self.env.generation).await?;
        Ok(balance)
    }

    /// Decides rows without judging their e-mail changes: they are a part of something larger. `None`: the values that the
    /// stream left out are too many bytes.
    async fn decide_part(
        &mut self,
        tx: &Tx,
        changes: &[RowChange],
        arrival: Arrival,
    ) -> Result<Option<Part>> {
        let stored = store::row::by_key(tx, &super::batch::ids_of(changes)).await?;
        let changes = versions::not_yet_contained(changes, &stored, &self.env);
        let Some(changes) = self.fill(tx, changes, &stored).await? else { return Ok(None) };
        let versions = versions::derive(&changes, &self.env);
        let roots = store::alias::roots(&self.db, &super::batch::emails_of(&versions)).await?;
        let plan = rows::decide(versions, &stored, &roots, arrival, &self.env);
        super::batch::count_notes(&plan);
        Ok(Some(Part { plan, renamed: versions::renamed(&changes), stored }))
    }

    /// The e-mail changes of everything that a reconcile read, judged as those of one transaction (SPEC §4.3), and what
    /// was kept for it. The caller commits.
    ///
    /// # Errors
    /// Those of the target.
    pub async fn judge_reconcile(&mut self, tx: &Tx, alive: &(dyn Fn() + Sync)) -> Result<()> {
        if store::email_before::take(tx).await? > 0 {
            tx.batch("target: analysing", "analyze tributary_open_row").await?;
            self.change_emails_of_large(tx, self.env.generation, alive).await?;
        }
        Ok(())
    }

    /// Decides everything that the parts touched. `alive` is called after each page, since all of them may take
    /// minutes.
    ///
    /// # Errors
    /// Those of the target.
    pub async fn finish_large(&mut self, tx: &Tx, alive: &(dyn Fn() + Sync)) -> Result<Report> {
        let analyse = "analyze tributary_open_row, tributary_open_owner, tributary_open_shared";
        tx.batch("target: analysing", analyse).await?;
        self.change_emails_of_large(tx, 0, alive).await?;
        // With whom a contact_id stays must be known before any person is written.
        let mut report = self.settle_shared_of_large(tx, alive).await?;
        let mut after = String::new();
        loop {
            let sql =
                "select owner from tributary_open_owner where owner > $1 order by owner limit $2";
            let rows = tx.query("target: reading what is touched", sql, &[&after, &PAGE]).await?;
            let owners: Vec<String> = rows.iter().map(|row| row.get(0)).collect();
            let Some(last) = owners.last() else { break };
            after.clone_from(last);
            let touched = Touched::owners(owners);
            report.add(self.settle(tx, RowPlan::default(), touched, MODE, None).await?);
            alive();
        }
        report.deleted += self.remove_deleted_payments(tx, MODE, alive).await?;
        Ok(report)
    }

    async fn settle_shared_of_large(
        &mut self,
        tx: &Tx,
        alive: &(dyn Fn() + Sync),
    ) -> Result<Report> {
        let mut report = Report::default();
        let mut after = (0_i16, String::new());
        loop {
            let sql = "select feed, shared_id from tributary_open_shared where (feed, shared_id) > ($1, $2) \
                       order by feed, shared_id limit $3";
            let rows = tx
                .query("target: reading what is touched", sql, &[&after.0, &after.1, &PAGE])
                .await?;
            let ids: Vec<(i16, String)> = rows.iter().map(|row| (row.get(0), row.get(1))).collect();
            let Some(last) = ids.last() else { break };
            after.clone_from(last);
            let shared: Vec<SharedId> = ids
                .into_iter()
                .filter_map(|(feed, id)| Some((Feed::from_number(feed)?, id)))
                .collect();
            self.mark_touched_sharers(tx, &shared).await?;
            let touched = Touched { shared: shared.into_iter().collect(), ..Touched::default() };
            report.add(self.settle(tx, RowPlan::default(), touched, MODE, None).await?);
            alive();
        }
        Ok(report)
    }

    /// The e-mail change rule over the whole transaction (SPEC §4.3), in pages. A row of a generation before this is no
    /// longer in the source.
    async fn change_emails_of_large(
        &mut self,
        tx: &Tx,
        generation: i64,
        alive: &(dyn Fn() + Sync),
    ) -> Result<()> {
        let collect = include_str!("sql/open_changes.sql");
        tx.execute("target: collecting e-mail changes", collect, &[&generation]).await?;
        let mut after = 0_i64;
        loop {
            let sql = "select key, old_key, new_key from tributary_open_change \
                       where number > $1 and number <= $1 + $2 order by number, key";
            let rows = tx.query("target: reading e-mail changes", sql, &[&after, &PAGE]).await?;
            if rows.is_empty() {
                return Ok(());
            }
            after += PAGE;
            let key = |row: &tokio_postgres::Row, at| EmailKey::trusted(row.get::<_, String>(at));
            let transitions: Vec<Transition> = rows
                .iter()
                .map(|row| Transition::contact(row.get(0), key(row, 1), key(row, 2)))
                .collect();
            let mut touched = Touched::default();
            self.change_emails_within(tx, &transitions, generation, &mut touched).await?;
            let mut group = Group::default();
            remember_touched(&mut group, &touched);
            self.judge_pairs(tx, group, touched.people).await?;
            alive();
        }
    }

    /// Rows of a feed that the open source transaction deleted, in effect. One whose key changed is among them once it is
    /// deleted under the new one.
    ///
    /// # Errors
    /// Those of the target.
    pub async fn deleted_so_far(&self, tx: &Tx, feed: Feed) -> Result<u64> {
        let sql = include_str!("sql/open_deletes.sql");
        let rows = tx.query("target: counting deletes", sql, &[&feed.number()]).await?;
        Ok(rows.first().map_or(0, |row| row.get::<_, i64>(0).unsigned_abs()))
    }
}

/// What a part of something larger comes to.
struct Part {
    plan: RowPlan,
    /// Rows whose key changed: the key now and the one before.
    renamed: Vec<(RowId, RowId)>,
    /// The rows as they were before the part.
    stored: HashMap<RowId, StoredRow>,
}

/// Sends a group, then writes the rows of a part.
pub(super) async fn write_part(
    tx: &Tx,
    mut group: Group,
    mut plan: RowPlan,
    generation: i64,
) -> Result<()> {
    let gone: Vec<RowId> = plan.gone.iter().map(|(id, _)| id.clone()).collect();
    store::row::write(&mut group, &gone, &[]);
    group.send(tx).await?;
    store::row::copy_new(tx, &mut plan.writes).await?;
    let mut group = Group::default();
    store::row::write(&mut group, &[], &plan.writes);
    if let Some(chunk) = plan.seen_in {
        store::row::mark_seen(&mut group, &plan.seen, chunk, generation);
    }
    group.send(tx).await?;
    Ok(())
}

fn remember_rows(
    group: &mut Group,
    plan: &RowPlan,
    stored: &HashMap<RowId, StoredRow>,
    has_blocked_deletes: bool,
) {
    let ids: Vec<&RowId> = plan.changed().collect();
    if ids.is_empty() {
        return;
    }
    let (mut feeds, mut keys) = (Vec::new(), Vec::new());
    let (mut owners, mut emails, mut transactions) = (Vec::new(), Vec::new(), Vec::new());
    for id in ids {
        let old = stored.get(id);
        feeds.push(id.0.number());
        keys.push(id.1.0.clone());
        owners.push(old.map(|old| old.owner.clone()));
        emails.push(old.and_then(|old| old.email.as_ref()).map(ToString::to_string));
        transactions.push(match old {
            Some(old) => {
                old.outcome.map(|outcome| has_blocked_deletes || outcome != NO_TRANSACTION)
            }
            None => Some(false),
        });
    }
    let sql = include_str!("sql/remember_rows.sql");
    let params: Vec<crate::pg::Owned> = vec![
        Box::new(feeds),
        Box::new(keys),
        Box::new(owners),
        Box::new(emails),
        Box::new(transactions),
    ];
    group.any("target: noting rows as they were", sql, params);
}

fn remember_keys(group: &mut Group, renamed: &[(RowId, RowId)]) {
    if renamed.is_empty() {
        return;
    }
    let feeds: Vec<i16> = renamed.iter().map(|(now, _)| now.0.number()).collect();
    let keys = renamed.iter().map(|(now, before)| (now.1.0.clone(), before.1.0.clone()));
    let (keys, previous): (Vec<String>, Vec<String>) = keys.unzip();
    let sql = include_str!("sql/remember_new_keys.sql");
    let params: Vec<crate::pg::Owned> = vec![Box::new(feeds), Box::new(keys), Box::new(previous)];
    group.any("target: noting new keys", sql, params);
}

fn remember_touched(group: &mut Group, touched: &Touched) {
    let owners: BTreeSet<&String> = touched.owners.iter().chain(&touched.people).collect();
    let owners: Vec<String> = owners.into_iter().cloned().collect();
    if !owners.is_empty() {
        let sql = "insert into tributary_open_owner select * from unnest($1::text[]) on conflict do nothing";
        group.any("target: noting what is touched", sql, vec![Box::new(owners)]);
    }
    if !touched.shared.is_empty() {
        let (feeds, values): (Vec<i16>, Vec<String>) =
            touched.shared.iter().map(|(feed, value)| (feed.number(), value.clone())).unzip();
        let sql = "insert into tributary_open_shared select * from unnest($1::int2[], $2::text[]) \
                   on conflict do nothing";
        group.any("target: noting what is touched", sql, vec![Box::new(feeds), Box::new(values)]);
    }
}
