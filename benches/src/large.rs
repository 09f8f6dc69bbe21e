//! One source transaction of very many rows, while Tributary is up: what counts is the daemon's memory.

use std::time::Instant;

use anyhow::Result;

use crate::arena::{Arena, Places};
use crate::competitor::{Competitor, Kind};
use crate::plan::{Part, Plan};
use crate::results::Results;

pub(crate) async fn measure(plan: &Plan, results: &mut Results) -> Result<()> {
    let rows = plan.large_transaction / 2;
    let arena = Arena::open(Places::OneServer, rows * 4 / 5, plan.patience).await?;
    let mut tributary = Competitor::create(Kind::Tributary, &arena).await?;
    tributary.start_and_follow(&arena).await?;
    arena.append_at_once(0..rows, 0..rows).await?;
    let mark = arena.mark().await?;
    let time = tributary.reach(&arena, &mark, Instant::now()).await;
    // Also where it never got there: that is when memory matters.
    results.add_peak(Part::Memory, "large transaction", tributary.peak());
    let time = time?.as_secs_f64();
    results.add(Part::Memory, "large transaction", "tributary", "s", time);
    tributary.stop(&arena).await?;
    Ok(())
}
