//! What a change costs with ever more people in the tables: the same number of updates of rows all over
//! them, committed while the daemon is suspended, timed from its going on until the last is in the target.
//! So neither the source's commits nor a start-up count.

use std::time::Instant;

use anyhow::{Context as _, Result};
use testkit::load;
use testkit::source_schema::SourceLayout;
use uuid::Uuid;

use crate::arena::{Arena, Places};
use crate::competitor::{Competitor, Kind};
use crate::plan::{Part, Plan};
use crate::results::Results;

/// Rows of each table in one transaction.
pub(crate) const ROWS_PER_TRANSACTION: u64 = 50;

/// A prime, so that steps of this size come to every row before they come to one again.
const STRIDE: u64 = 104_729;

const CHANGE: [&str; 2] = [
    "update public.systemeio set tags = concat('PaidP2P, Campaign ', $2::int8), updated_at = now()
     where id = any($1)",
    "update public.xendit set fees = $2::int8 where id = any($1)",
];

/// An installation that holds a number of people.
struct Site {
    people: u64,
    arena: Arena,
    tributary: Competitor,
}

pub(crate) async fn measure(plan: &Plan, results: &mut Results) -> Result<()> {
    let mut sites = Vec::new();
    for &people in &plan.sizes {
        let site = set_up(plan, people).await;
        sites.push(site.with_context(|| format!("with {people} people"))?);
    }
    // In turns, so that whatever else the machine does falls on all sizes alike.
    for round in 0..plan.rounds {
        for site in &mut sites {
            run(site, plan, round, results).await?;
        }
    }
    Ok(())
}

/// One contact and one payment a person, backfilled.
async fn set_up(plan: &Plan, people: u64) -> Result<Site> {
    let arena = Arena::open(Places::OneServer, people, plan.patience).await?;
    let layout = SourceLayout::Canonical;
    load::load(&arena.client, layout, &arena.population, 0..people, 0..people).await?;
    let mut tributary = Competitor::create(Kind::Tributary, &arena).await?;
    tributary.start_and_follow(&arena).await?;
    tributary.vacuum().await?;
    eprintln!("growth: {people} people are there");
    Ok(Site { people, arena, tributary })
}

async fn run(site: &mut Site, plan: &Plan, round: u32, results: &mut Results) -> Result<()> {
    let Site { people, arena, tributary } = site;
    let changes = transactions(arena, *people, plan.changes, round);
    tributary.suspend(true)?;
    commit(arena, &changes).await?;
    let mark = arena.mark().await?;
    let start = Instant::now();
    tributary.suspend(false)?;
    let time = tributary.reach(arena, &mark, start).await?;
    let rows = changes.len() as f64 * (2 * ROWS_PER_TRANSACTION) as f64;
    let cost = time.as_secs_f64() * 1e6 / rows;
    let among = format!("among {people} people");
    results.add(Part::Growth, "cost per change", &among, "µs", cost);
    results.add_peak(Part::Growth, "growth", tributary.peak());
    Ok(())
}

/// Commits them at the source.
pub(crate) async fn commit(arena: &Arena, changes: &[(Vec<Uuid>, Vec<Uuid>)]) -> Result<()> {
    let [contacts, payments] =
        [arena.client.prepare(CHANGE[0]).await?, arena.client.prepare(CHANGE[1]).await?];
    for (contact_ids, payment_ids) in changes {
        let value = arena.new_value();
        arena.client.batch_execute("begin").await?;
        arena.client.execute(&contacts, &[contact_ids, &value]).await?;
        arena.client.execute(&payments, &[payment_ids, &value]).await?;
        arena.client.batch_execute("commit").await?;
    }
    Ok(())
}

/// The rows of each transaction: all over the tables, and each at most once while there are enough.
pub(crate) fn transactions(
    arena: &Arena,
    people: u64,
    rows: u64,
    round: u32,
) -> Vec<(Vec<Uuid>, Vec<Uuid>)> {
    let population = &arena.population;
    let mut numbers = (0..).map(|step: u64| (u64::from(round) + step * STRIDE) % people);
    (0..rows.div_ceil(2 * ROWS_PER_TRANSACTION))
        .map(|_| {
            let some: Vec<u64> = numbers.by_ref().take(ROWS_PER_TRANSACTION as usize).collect();
            let contacts = some.iter().map(|&number| population.contact(number).id);
            let payments = some.iter().map(|&number| population.payment(number).id);
            (contacts.collect(), payments.collect())
        })
        .collect()
}
