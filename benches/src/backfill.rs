//! `tributary backfill` into an empty target, beside one set-based script over the same rows.

use std::time::Instant;

use anyhow::{Context as _, Result, ensure};
use testkit::load;
use testkit::source_schema::SourceLayout;

use crate::arena::{Arena, Places};
use crate::daemon::Daemon;
use crate::plan::{Part, Plan};
use crate::results::Results;

pub(crate) async fn measure(plan: &Plan, results: &mut Results) -> Result<()> {
    let people = plan.contacts * 4 / 5;
    let arena = Arena::open(Places::OneServer, people, plan.patience).await?;
    let (contacts, payments) = (0..plan.contacts, 0..plan.payments);
    let layout = SourceLayout::Canonical;
    load::load(&arena.client, layout, &arena.population, contacts, payments).await?;
    for round in 0..plan.rounds {
        let script_first = round % 2 == 0;
        if script_first {
            script(&arena, results).await?;
        }
        tributary(&arena, round, results).await?;
        if !script_first {
            script(&arena, results).await?;
        }
    }
    Ok(())
}

async fn script(arena: &Arena, results: &mut Results) -> Result<()> {
    arena.client.batch_execute("drop schema if exists plain cascade").await?;
    arena.settle().await?;
    let start = Instant::now();
    let script = include_str!("../sql/script.sql");
    arena.client.batch_execute(script).await.context("the set-based script")?;
    results.add(Part::Backfill, "backfill", "script", "s", start.elapsed().as_secs_f64());
    Ok(())
}

/// The first backfill of an installation: nothing of an earlier round is left.
async fn tributary(arena: &Arena, round: u32, results: &mut Results) -> Result<()> {
    let forget = "select pg_drop_replication_slot(slot_name) from pg_replication_slots
                  where database = current_database()";
    arena.client.query(forget, &[]).await.context("dropping the slot of the round before")?;
    let database = format!("target_{round}");
    arena.target.create_database(&database).await?;
    arena.settle().await?;
    let start = Instant::now();
    let daemon = Daemon::start(arena, &database, "backfill")?;
    let patience = arena.patience;
    let peak = tokio::task::spawn_blocking(move || daemon.finish(patience)).await??;
    let time = start.elapsed();
    let count = "select count(*) from public.transactions";
    let target = arena.target.connect(&database).await?;
    let rows: i64 = target.query_one(count, &[]).await?.get(0);
    ensure!(rows > 0, "tributary backfill wrote no transaction");
    drop(target);
    arena.target.execute("postgres", &format!("drop database {database}")).await?;
    results.add(Part::Backfill, "backfill", "tributary", "s", time.as_secs_f64());
    results.add_peak(Part::Backfill, "backfill", peak);
    Ok(())
}
