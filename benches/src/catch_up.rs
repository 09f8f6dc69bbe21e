//! Backlogs: what was committed while a competitor was down, timed from its start until the last row of it
//! is in the target. All competitors work on the same backlog of the same source.

use anyhow::{Context as _, Result};

use crate::arena::{Arena, Mark, Places};
use crate::competitor::Competitor;
use crate::plan::{Part, Plan};
use crate::results::Results;

pub(crate) async fn measure(plan: &Plan, results: &mut Results) -> Result<()> {
    for round in 0..plan.rounds {
        let people = plan.contacts * 4 / 5;
        let arena = Arena::open(Places::OneServer, people, plan.patience).await?;
        let mut all = Competitor::install_all(&arena).await?;
        arena.append(0..plan.contacts, 0..plan.payments).await.context("inserting the rows")?;
        let mark = arena.mark().await?;
        arena.settle().await?;
        run(&arena, &mut all, round, Part::Inserts, &mark, (plan, results)).await?;
        if plan.measures(Part::Updates) {
            arena.client.batch_execute("vacuum (analyze)").await?;
            for competitor in &all {
                competitor.vacuum().await?;
            }
            arena.change_every_row().await?;
            let mark = arena.mark().await?;
            run(&arena, &mut all, round, Part::Updates, &mark, (plan, results)).await?;
        }
    }
    Ok(())
}

async fn run(
    arena: &Arena,
    all: &mut [Competitor],
    round: u32,
    part: Part,
    mark: &Mark,
    (plan, results): (&Plan, &mut Results),
) -> Result<()> {
    let wanted = plan.measures(part);
    for competitor in in_turn(all, round) {
        let time = competitor.catch_up(arena, mark).await?;
        let peak = competitor.stop(arena).await?;
        if wanted {
            let name = competitor.kind.name();
            let group = format!("catch-up of {part}");
            results.add(part, &group, name, "s", time.as_secs_f64());
            results.add_peak(part, &part.to_string(), peak);
        }
    }
    Ok(())
}

/// The competitors in an order that begins with another one each round.
pub(crate) fn in_turn(all: &mut [Competitor], round: u32) -> impl Iterator<Item = &mut Competitor> {
    let first = round as usize % all.len().max(1);
    let (before, from) = all.split_at_mut(first);
    from.iter_mut().chain(before)
}
