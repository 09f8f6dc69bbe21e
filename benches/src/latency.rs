//! From a commit's return at the source until the change is seen in the target, at 50 single-row
//! transactions a second. Commits keep to the clock whatever the follower does, so that a pause of it
//! counts for every change that waits.

use std::time::{Duration, Instant};

use anyhow::{Result, ensure};
use tokio::sync::mpsc;
use tokio::time::MissedTickBehavior;
use tokio_postgres::Client;
use uuid::Uuid;

use crate::arena::{Arena, Places};
use crate::catch_up::in_turn;
use crate::competitor::{Competitor, Kind};
use crate::live;
use crate::plan::{Part, Plan};
use crate::results::{Results, percentile};

const PERIOD: Duration = Duration::from_millis(20);

/// Rows that are changed in turn. One comes again after ten seconds.
const ROWS: i64 = 500;

/// A change on its way.
struct Change {
    id: Uuid,
    fees: i64,
    committed: Instant,
}

pub(crate) async fn measure(plan: &Plan, results: &mut Results) -> Result<()> {
    for places in Places::BOTH {
        let (arena, mut all) = live::set_up(plan, places).await?;
        let rows = rows(&arena, &all).await?;
        for round in 0..plan.rounds {
            for competitor in in_turn(&mut all, round) {
                competitor.start_and_follow(&arena).await?;
                let times = run(&arena, competitor, plan, &rows).await?;
                let (name, places) = (competitor.kind.name(), places.name());
                for (share, word) in [(0.5, "p50"), (0.99, "p99")] {
                    let figure = format!("latency {word}, {places}");
                    let time = percentile(&times, share).as_secs_f64() * 1e3;
                    results.add(Part::Latency, &figure, name, "ms", time);
                }
                let peak = competitor.stop(&arena).await?;
                results.add_peak(Part::Latency, "latency", peak);
            }
        }
    }
    Ok(())
}

/// Payments that every competitor shows: those that Tributary does.
async fn rows(arena: &Arena, all: &[Competitor]) -> Result<Vec<Uuid>> {
    let mut rows = Vec::new();
    for competitor in all.iter().filter(|competitor| competitor.kind == Kind::Tributary) {
        let sql = "select id from public.transactions where payment_provider_fee is not null
                   order by md5(id::text) limit $1";
        let found = competitor.connect(arena).await?.query(sql, &[&ROWS]).await?;
        rows.extend(found.iter().map(|row| row.get::<_, Uuid>(0)));
    }
    ensure!(!rows.is_empty(), "no transaction to change");
    Ok(rows)
}

async fn run(
    arena: &Arena,
    competitor: &Competitor,
    plan: &Plan,
    rows: &[Uuid],
) -> Result<Vec<Duration>> {
    let source = arena.connect().await?;
    let target = competitor.connect(arena).await?;
    let (changes, observed) = mpsc::unbounded_channel();
    let observer = tokio::spawn(observe(target, competitor.kind, plan.patience, observed));
    let update = source.prepare("update public.xendit set fees = $2::int8 where id = $1").await?;
    let mut clock = tokio::time::interval(PERIOD);
    clock.set_missed_tick_behavior(MissedTickBehavior::Burst);
    let count = plan.latency.as_millis() / PERIOD.as_millis();
    for (_, &id) in (0..count).zip(rows.iter().cycle()) {
        clock.tick().await;
        let fees = arena.new_value();
        source.execute(&update, &[&id, &fees]).await?;
        // The observer that has ended reports why below.
        let _ = changes.send(Change { id, fees, committed: Instant::now() });
    }
    drop(changes);
    observer.await?
}

/// Looks for one change after the other without a pause, so that it is seen as soon as it is there. Fees
/// only grow: a later change of the row counts as this one.
async fn observe(
    target: Client,
    kind: Kind,
    patience: Duration,
    mut changes: mpsc::UnboundedReceiver<Change>,
) -> Result<Vec<Duration>> {
    let (table, column) = kind.payments();
    let sql = format!("select exists (select from {table} where id = $1 and {column} >= $2::int8)");
    let seen = target.prepare(&sql).await?;
    let mut times = Vec::new();
    while let Some(change) = changes.recv().await {
        while !target.query_one(&seen, &[&change.id, &change.fees]).await?.get::<_, bool>(0) {
            ensure!(change.committed.elapsed() < patience, "a change never came");
        }
        times.push(change.committed.elapsed());
    }
    times.sort();
    Ok(times)
}
