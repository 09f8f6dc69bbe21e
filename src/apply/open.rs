//! Opening an applier: what it must know of the target before the first change.

use std::sync::Arc;

use jiff::Timestamp;

use super::{Applier, NARROW_LOOK_UPS, Watch};
use crate::config::Config;
use crate::engine::{ChunkSnapshots, Env, Feeds};
use crate::error::{Context, Result};
use crate::facts::Feed;
use crate::pg::{Client, Db, Tx};
use crate::source::RowReader;
use crate::source::snapshot::invalid;
use crate::store;
use crate::store::backfill;
use crate::store::epoch::fence;
use crate::store::operation_log::Operator;
use crate::targets::{CameIn, Tables};

impl Applier {
    /// Opens an applier on a session that holds the lock, as the leader of this epoch. The target must be migrated. The
    /// feeds named in `due_later` are read again in any case, later.
    ///
    /// # Errors
    /// Those of the target; a refusal where a target table is missing.
    pub async fn open(
        client: Client,
        config: &Config,
        feeds: Arc<Feeds>,
        reader: RowReader,
        epoch: i64,
        due_later: &[String],
    ) -> Result<Self> {
        let mut tables = Tables::read(&client, &config.target).await?;
        tables.begin = format!("{}; {}", tables.begin, fence(epoch));
        for sql in [NARROW_LOOK_UPS, include_str!("sql/working_tables.sql")] {
            client.batch_execute(sql).await.context("target: preparing the session")?;
        }
        let env = Env::new(config.rules.clone(), feeds);
        let mut applier = Self {
            db: Arc::new(Db::new(client)),
            env,
            tables,
            reader,
            operator: Operator::of(config),
            has_foreign_profiles: false,
            came_in: CameIn::default(),
            has_quarantine: false,
            has_outside: false,
            has_partners: false,
            has_blocked_deletes: false,
            has_adopted: false,
            reading: None,
            clock: super::clock::TargetClock::default(),
            plans: super::plans::Plans::default(),
            watch: Watch::default(),
        };
        applier.record_feeds(config, due_later).await?;
        applier.load_decisions().await?;
        let tx = applier.begin().await?;
        store::alias::derive(tx.db()).await?;
        tx.commit().await?;
        applier.load_backfill().await?;
        applier.load_flags().await?;
        applier.read_today().await?;
        Ok(applier)
    }

    /// Reads the active decisions about single rows and conflicts, and how far the rollout is.
    ///
    /// # Errors
    /// Those of the target.
    pub async fn load_decisions(&mut self) -> Result<()> {
        self.env.decisions = store::alias::row_decisions(&self.db).await?;
        self.env.dismissals = store::conflict::dismissals(&self.db).await?;
        (self.env.rollout, self.has_outside) = store::outside::rollout(&self.db).await?;
        Ok(())
    }

    /// Records the feeds and the columns that are stored of them. The rows of a feed that is new, or that were stored with
    /// other columns, must be read, and those of a feed that is configured no more must go: that is due in the same commit
    /// (P1). The other feeds stay as they are.
    async fn record_feeds(&self, config: &Config, due_later: &[String]) -> Result<()> {
        let feeds = &self.env.feeds;
        let tx = self.begin().await?;
        let recorded = store::feed::recorded(tx.db().client()).await?;
        let mut due: Vec<Feed> = Vec::new();
        for configured in &config.source.feeds {
            let Some(entry) = feeds.named(&configured.name) else { continue };
            let (feed, name) = (entry.info.feed, &configured.name);
            let known = recorded.iter().find(|known| known.feed == feed);
            let stored =
                known.and_then(|known| Some((known.columns.as_ref()?, known.max_row_bytes)));
            match stored {
                Some((columns, max))
                    if *columns == feeds.stored_columns(feed)
                        && max == entry.columns().max_bytes => {}
                // Nothing is forgotten: what is due is found again at each start until it is scheduled.
                Some(_) if due_later.contains(name) => {}
                Some(_) => {
                    tracing::info!(
                        feed = name,
                        "other columns are read than before, or larger rows; reading the feed again"
                    );
                    due.push(feed);
                }
                None => {
                    tracing::info!(feed = name, "the feed is new; reading it");
                    due.push(feed);
                }
            }
            store::feed::record(&tx, feeds, feed, &configured.table.quoted()).await?;
        }
        let under_way = backfill::progress(&self.db).await?;
        for known in recorded.iter().filter(|known| known.columns.is_some()) {
            let is_removed = !feeds.get(known.feed).is_configured();
            if is_removed && !goes_already(&tx, known.feed, under_way.as_ref()).await? {
                tracing::warn!(feed = known.name, "the feed is configured no more; its rows go");
                due.push(known.feed);
            }
        }
        if !due.is_empty() {
            backfill::schedule_feeds(tx.db(), config, &due, &[]).await?;
        }
        tx.commit().await
    }

    async fn load_backfill(&mut self) -> Result<()> {
        let sql = "select generation from tributary.backfill";
        let rows = self.db.query("target: reading the backfill", sql, &[]).await?;
        self.env.generation = rows.first().map_or(0, |row| row.get(0));
        let sql = "select id, snapshot from tributary.backfill_chunk";
        for row in self.db.query("target: reading snapshots", sql, &[]).await? {
            self.add_chunk(row.get(0), row.get(1))?;
        }
        Ok(())
    }

    /// Which rare look-ups are needed at all.
    async fn load_flags(&mut self) -> Result<()> {
        let is_blocked = store::conflict::IS_BLOCKED_DELETE;
        let sql = format!(
            "select exists (select from tributary.profile_email), \
             exists (select from tributary.quarantine), \
             exists (select from tributary.conflict where {is_blocked}), \
             exists (select from tributary.adopted_transaction), \
             exists (select from tributary.conflict where status <> 'resolved' \
                 and (also >= 'collision:' and also < 'collision;' or also >= 'owner:' and also < 'owner;'))"
        );
        let rows = self.db.query("target: reading the state", &sql, &[]).await?;
        if let Some(row) = rows.first() {
            self.has_foreign_profiles = row.get(0);
            self.has_quarantine = row.get(1);
            self.has_blocked_deletes = row.get(2);
            self.has_adopted = row.get(3);
            self.has_partners = row.get(4);
        }
        Ok(())
    }

    /// Remembers the snapshot in which a chunk was read.
    ///
    /// # Errors
    /// Where the text is not a snapshot.
    pub fn add_chunk(&mut self, chunk: i64, snapshot: &str) -> Result<()> {
        self.env.chunks.add(chunk, snapshot).ok_or_else(|| invalid(snapshot))
    }

    /// Forgets the backfill's snapshots once the stream has passed everything they contained.
    ///
    /// # Errors
    /// Those of the target.
    pub async fn forget_snapshots(&mut self) -> Result<()> {
        let sql = "delete from tributary.backfill_chunk";
        self.db.batch("target: forgetting snapshots", sql).await?;
        self.env.chunks = ChunkSnapshots::default();
        Ok(())
    }

    /// Sets today's date in the configured zone.
    pub(super) fn set_today(&mut self, now: Timestamp) {
        self.env.today = now.to_zoned(self.env.rules.zone.clone()).date();
    }
}

/// Whether the reconcile under way deletes all rows of a feed that is configured no more: it has read none. A new reconcile at each
/// start would halt again in front of what was accepted (P9).
async fn goes_already(tx: &Tx, feed: Feed, under_way: Option<&backfill::Progress>) -> Result<bool> {
    let Some(at) = under_way.filter(|at| !at.stage.has_read()) else { return Ok(false) };
    if at.feeds.as_ref().is_some_and(|feeds| !feeds.contains(&feed)) {
        return Ok(false);
    }
    let sql =
        "select not exists (select from tributary.source_row where feed = $1 and generation >= $2)";
    let params: [crate::pg::Param<'_>; 2] = [&feed.number(), &at.generation];
    let rows = tx.query("target: looking for rows of a former feed", sql, &params).await?;
    Ok(rows.first().is_some_and(|row| row.get(0)))
}
