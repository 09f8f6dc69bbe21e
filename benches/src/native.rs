//! Native logical replication: one subscription, whose slot this program makes, since a subscription to
//! its own server cannot.

use std::time::Instant;

use anyhow::{Context as _, Result, ensure};
use tokio_postgres::Client;

use crate::arena::{Arena, PUBLICATION, until};

/// A subscription that is off until it is started.
pub(crate) struct Subscription {
    name: &'static str,
}

impl Subscription {
    /// Makes slot and subscription. Everything committed from now on reaches the target.
    pub(crate) async fn create(arena: &Arena, target: &Client, name: &'static str) -> Result<Self> {
        let slot = "select pg_create_logical_replication_slot($1, 'pgoutput')";
        arena.client.query(slot, &[&name]).await.context("making a slot")?;
        let (url, publication) = (arena.url(), PUBLICATION);
        let sql = format!(
            "create subscription {name} connection '{url}' publication {publication}
             with (create_slot = false, slot_name = '{name}', enabled = false, copy_data = false)"
        );
        target.batch_execute(&sql).await.context("making a subscription")?;
        Ok(Self { name })
    }

    pub(crate) async fn enable(&self, target: &Client) -> Result<()> {
        let sql = format!("alter subscription {} enable", self.name);
        target.batch_execute(&sql).await.context("enabling the subscription")
    }

    /// Fails where the apply worker has, since it would only try again. PostgreSQL 14 does not count that.
    pub(crate) async fn check(&self, target: &Client) -> Result<()> {
        let counted = "select to_regclass('pg_catalog.pg_stat_subscription_stats') is not null";
        if target.query_one(counted, &[]).await?.get(0) {
            let sql = "select apply_error_count from pg_stat_subscription_stats where subname = $1";
            let errors: i64 = target.query_one(sql, &[&self.name]).await?.get(0);
            ensure!(errors == 0, "the apply worker failed");
        }
        Ok(())
    }

    /// Switches it off, and waits until its slot is free.
    pub(crate) async fn disable(&self, arena: &Arena, target: &Client) -> Result<()> {
        let sql = format!("alter subscription {} disable", self.name);
        target.batch_execute(&sql).await.context("disabling the subscription")?;
        let sql = "select not active from pg_replication_slots where slot_name = $1";
        until("the apply worker's end", Instant::now(), arena.patience, async || {
            Ok(arena.client.query_one(sql, &[&self.name]).await?.get(0))
        })
        .await?;
        Ok(())
    }
}
