//! Opening a writer: what it must know of the target before the first change.

use std::collections::HashMap;
use std::sync::Arc;

use jiff::Timestamp;
use tokio_postgres::Client;

use super::{ChunkSnapshots, Db, Layouts, RowDecisions, Writer, statements};
use crate::config::Config;
use crate::error::{Context, Result};
use crate::facts::EmailKey;
use crate::session::fence;
use crate::source::RowReader;

impl Writer {
    /// Opens a writer on a session that holds the lock, as the leader of this epoch. The target must be migrated.
    ///
    /// # Errors
    /// Those of the target; a refusal where a target table is missing.
    pub async fn open(
        client: Client,
        config: &Config,
        layouts: Layouts,
        reader: RowReader,
        epoch: i64,
    ) -> Result<Self> {
        let mut tables = statements::Tables::read(&client, &config.target).await?;
        tables.begin = format!("{}; {}", tables.begin, fence(epoch));
        client
            .batch_execute(include_str!("sql/session.sql"))
            .await
            .context("target: preparing the session")?;
        let mut writer = Self {
            db: Db::new(client),
            rules: Arc::new(config.rules.clone()),
            layouts,
            reader,
            decisions: RowDecisions::default(),
            chunks: ChunkSnapshots::default(),
            facts_hash: config.facts_hash(),
            generation: 0,
            today: Timestamp::UNIX_EPOCH.to_zoned(config.rules.zone.clone()).date(),
            tables,
        };
        writer.load_decisions().await?;
        writer.derive_aliases().await?;
        writer.load_backfill().await?;
        Ok(writer)
    }

    /// Reads the active decisions about single rows.
    ///
    /// # Errors
    /// Those of the target.
    pub async fn load_decisions(&mut self) -> Result<()> {
        let sql = "select kind, a, b from tributary.decision \
                   where reverted_at is null and kind in ('email', 'product')";
        let rows = self.db.query("target: reading decisions", sql, &[]).await?;
        let mut decisions = RowDecisions { emails: HashMap::new(), products: HashMap::new() };
        for row in &rows {
            let (kind, a, b): (&str, String, String) = (row.get(0), row.get(1), row.get(2));
            if kind == "email" {
                decisions.emails.insert(a, EmailKey::trusted(b));
            } else {
                decisions.products.insert(a, b);
            }
        }
        self.decisions = decisions;
        Ok(())
    }

    /// Derives the aliases from the decisions: they are the inputs, also when they were copied here.
    ///
    /// # Errors
    /// Those of the target.
    pub async fn derive_aliases(&self) -> Result<()> {
        self.begin().await?;
        self.rederive_aliases().await?;
        self.commit_data().await
    }

    /// As [`Writer::derive_aliases`], within the open transaction.
    ///
    /// # Errors
    /// Those of the target.
    pub async fn rederive_aliases(&self) -> Result<()> {
        self.db.batch("target: deriving aliases", include_str!("sql/derive_aliases.sql")).await
    }

    async fn load_backfill(&mut self) -> Result<()> {
        let rows = self
            .db
            .query("target: reading the backfill", "select generation from tributary.backfill", &[])
            .await?;
        self.generation = rows.first().map_or(0, |row| row.get(0));
        let sql = "select id, snapshot from tributary.backfill_chunk";
        for row in self.db.query("target: reading snapshots", sql, &[]).await? {
            self.chunks.add(row.get(0), row.get(1))?;
        }
        Ok(())
    }

    /// Forgets the backfill's snapshots once the stream has passed everything they contained.
    ///
    /// # Errors
    /// Those of the target.
    pub async fn forget_snapshots(&mut self) -> Result<()> {
        self.db
            .batch("target: forgetting snapshots", "delete from tributary.backfill_chunk")
            .await?;
        self.chunks = ChunkSnapshots::default();
        Ok(())
    }

    /// Sets today's date in the configured zone.
    pub fn set_today(&mut self, now: Timestamp) {
        self.today = now.to_zoned(self.rules.zone.clone()).date();
    }
}
