//! What people and changes cost: the figures that docs/capacity.md calculates with.
//!
//! Source and target are two servers, so that the log of each is known apart: an installation with one contact and one payment a person
//! is backfilled, then changes of rows all over the tables, committed while the daemon is suspended, are caught up.

use std::time::Instant;

use anyhow::{Context as _, Result};
use testkit::load;
use testkit::source_schema::SourceLayout;
use tokio_postgres::Client;

use crate::arena::{Arena, Places};
use crate::competitor::{Competitor, Kind};
use crate::daemon::Daemon;
use crate::growth::{ROWS_PER_TRANSACTION, commit, transactions};
use crate::plan::{Part, Plan};
use crate::results::Results;

/// Bytes of all relations of a kind, indexes and large values included.
const SIZE: &str = "select coalesce(sum(pg_total_relation_size(c.oid)), 0)::bigint from pg_class c \
                    where c.relkind = 'r' and c.relnamespace = to_regnamespace($1)";

pub(crate) async fn measure(plan: &Plan, results: &mut Results) -> Result<()> {
    let people = plan.contacts;
    let arena = Arena::open(Places::TwoServers, people, plan.patience).await?;
    let layout = SourceLayout::Canonical;
    load::load(&arena.client, layout, &arena.population, 0..people, 0..people).await?;
    arena.client.batch_execute("vacuum (analyze)").await?;
    let mut tributary = Competitor::create(Kind::Tributary, &arena).await?;
    let target = tributary.connect(&arena).await?;
    let mut add = |figure: &str, unit: &'static str, value: f64| {
        results.add(Part::Capacity, figure, "tributary", unit, value);
    };
    add("people", "people", people as f64);

    arena.settle().await?;
    let log = log_end(&target).await?;
    let start = Instant::now();
    let daemon = Daemon::start(&arena, Kind::Tributary.name(), "backfill")?;
    let patience = arena.patience;
    let peak = tokio::task::spawn_blocking(move || daemon.finish(patience)).await??;
    let rows = 2.0 * people as f64;
    add("backfill", "rows/s", rows / start.elapsed().as_secs_f64());
    let written = log_since(&target, &log).await?;
    add("target log of a backfilled row", "bytes", written / rows);
    for (figure, client, schema) in [
        ("source tables of a person", &arena.client, "public"),
        ("schema tributary of a person", &target, "tributary"),
        ("target tables of a person", &target, "public"),
    ] {
        let bytes: i64 = client.query_one(SIZE, &[&schema]).await?.get(0);
        add(figure, "bytes", bytes as f64 / people as f64);
    }

    tributary.start_and_follow(&arena).await?;
    tributary.vacuum().await?;
    let changes = transactions(&arena, people, plan.changes, 0);
    tributary.suspend(true)?;
    let (source_log, target_log) = (log_end(&arena.client).await?, log_end(&target).await?);
    commit(&arena, &changes).await?;
    let mark = arena.mark().await?;
    let rows = changes.len() as f64 * (2 * ROWS_PER_TRANSACTION) as f64;
    let committed = log_since(&arena.client, &source_log).await?;
    add("source log of a change", "bytes", committed / rows);
    let start = Instant::now();
    tributary.suspend(false)?;
    let time = tributary.reach(&arena, &mark, start).await?;
    add("changes", "changes/s", rows / time.as_secs_f64());
    let written = log_since(&target, &target_log).await?;
    add("target log of a change", "bytes", written / rows);
    results.add_peak(Part::Capacity, "capacity", peak.max(tributary.peak()));
    tributary.stop(&arena).await?;
    Ok(())
}

async fn log_end(client: &Client) -> Result<String> {
    let row = client.query_one("select pg_current_wal_lsn()::text", &[]).await;
    Ok(row.context("the end of the log")?.get(0))
}

async fn log_since(client: &Client, since: &str) -> Result<f64> {
    let sql = "select pg_wal_lsn_diff(pg_current_wal_lsn(), $1::text::pg_lsn)::float8";
    Ok(client.query_one(sql, &[&since]).await.context("the length of the log")?.get(0))
}
