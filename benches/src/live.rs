//! Single-row transactions, committed synchronously from three connections while everything is up: the time
//! from the first until all are in the target.

use std::time::Instant;

use anyhow::{Context as _, Result};
use testkit::random::Random;
use tokio::task::JoinSet;
use tokio_postgres::{Client, Statement};
use uuid::Uuid;

use crate::arena::{Arena, Places};
use crate::catch_up::in_turn;
use crate::competitor::Competitor;
use crate::plan::{Part, Plan};
use crate::results::Results;

const CONNECTIONS: u64 = 3;

const CONTACT: &str = "update public.systemeio set tags = $2, updated_at = now() where id = $1";
const PAYMENT: &str = "update public.xendit set fees = $2::int8 where id = $1";

pub(crate) async fn measure(plan: &Plan, results: &mut Results) -> Result<()> {
    for places in Places::BOTH {
        let (arena, mut all) = set_up(plan, places).await?;
        for round in 0..plan.rounds {
            for competitor in in_turn(&mut all, round) {
                run(&arena, competitor, plan, places, round, results).await?;
            }
        }
    }
    Ok(())
}

/// An arena with all competitors installed, stopped, and in step with tables of some size.
pub(crate) async fn set_up(plan: &Plan, places: Places) -> Result<(Arena, Vec<Competitor>)> {
    let people = plan.live_people;
    let arena = Arena::open(places, people, plan.patience).await?;
    let mut all = Competitor::install_all(&arena).await?;
    arena.append(0..people, 0..people).await.context("inserting the rows")?;
    arena.client.batch_execute("vacuum (analyze)").await?;
    for competitor in &mut all {
        competitor.start_and_follow(&arena).await?;
        competitor.stop(&arena).await?;
        competitor.vacuum().await?;
    }
    Ok((arena, all))
}

async fn run(
    arena: &Arena,
    competitor: &mut Competitor,
    plan: &Plan,
    places: Places,
    round: u32,
    results: &mut Results,
) -> Result<()> {
    competitor.start_and_follow(arena).await?;
    let mut writers = Vec::new();
    for number in 0..CONNECTIONS {
        writers.push(Writer::new(arena, plan, u64::from(round), number).await?);
    }
    let mut running = JoinSet::new();
    let start = Instant::now();
    for writer in writers {
        running.spawn(writer.run());
    }
    while let Some(result) = running.join_next().await {
        result??;
    }
    let written = start.elapsed();
    let mark = arena.mark().await?;
    let time = competitor.reach(arena, &mark, start).await?;
    let peak = competitor.stop(arena).await?;
    let (name, places) = (competitor.kind.name(), places.name());
    let figure = format!("live transactions, {places}");
    results.add(Part::Live, &figure, name, "s", time.as_secs_f64());
    let figure = format!("of these until the last commit, {places}");
    results.add(Part::Live, &figure, &format!("for {name}"), "s", written.as_secs_f64());
    results.add_peak(Part::Live, "live", peak);
    Ok(())
}

/// One connection with its transactions, contacts and payments in turn.
struct Writer {
    client: Client,
    contact: Statement,
    payment: Statement,
    /// Contact, payment, and the value that each is given.
    changes: Vec<(Uuid, Uuid, i64)>,
}

impl Writer {
    async fn new(arena: &Arena, plan: &Plan, round: u64, number: u64) -> Result<Self> {
        let client = arena.connect().await?;
        let contact = client.prepare(CONTACT).await?;
        let payment = client.prepare(PAYMENT).await?;
        let mut random = Random::new(round + 1, 500 + number);
        // The rows of one connection are no other's: they do not wait for each other's locks.
        let mut row = || random.below(plan.live_people / CONNECTIONS) * CONNECTIONS + number;
        let population = &arena.population;
        let changes = (0..plan.transactions / CONNECTIONS / 2)
            .map(|_| {
                let (contact, payment) = (population.contact(row()), population.payment(row()));
                (contact.id, payment.id, arena.new_value())
            })
            .collect();
        Ok(Self { client, contact, payment, changes })
    }

    async fn run(self) -> Result<()> {
        for (contact, payment, value) in &self.changes {
            let tags = format!("PaidP2P, Campaign {value}");
            self.client.execute(&self.contact, &[contact, &tags]).await?;
            self.client.execute(&self.payment, &[payment, value]).await?;
        }
        Ok(())
    }
}
