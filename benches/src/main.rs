//! Measures Tributary beside what one would use in its place, on a PostgreSQL that it starts itself.
//!
//! ```text
//! make bench                                              everything, with 200,000 + 200,000 rows
//! make bench BENCH="--only inserts --people 30000 --rounds 1"    one figure, quickly
//! make bench BENCH=--quick                                does it still work? The times mean nothing
//! ```
//!
//! All competitors work on the same rows of the same run, one after the other, and each round another one
//! begins. A figure is the median of the rounds, a ratio the quotient of two medians. Times of different
//! runs or machines are not to be compared, ratios are.
//!
//! | module | does |
//! |---|---|
//! | [`plan`] | the command line: which parts, how many rows |
//! | [`arena`] | servers, source tables, backlogs, and the mark at their end |
//! | [`competitor`] | installs, starts and stops one of the three, and waits until it has a mark |
//! | [`native`], [`daemon`] | a subscription; the process `tributary` and its memory |
//! | [`catch_up`], [`live`], [`latency`], [`backfill`], [`growth`], [`large`], [`capacity`] | the parts |
//! | [`results`], [`report`] | figures and ratios; the table and the JSON file |
//!
//! Of the product only what users have is used: its commands, its environment, the target tables, and the
//! table `tributary.checkpoint`.

mod arena;
mod backfill;
mod capacity;
mod catch_up;
mod competitor;
mod daemon;
mod growth;
mod large;
mod latency;
mod live;
mod native;
mod plan;
mod report;
mod results;

use std::process::ExitCode;

use anyhow::Result;
use clap::Parser as _;

use crate::plan::{Arguments, Part, Plan};
use crate::results::Results;

#[tokio::main]
async fn main() -> Result<ExitCode> {
    let plan = Plan::new(Arguments::parse())?;
    testkit::process::tributary()?;
    let mut results = Results::default();
    eprintln!("{}", plan.headline());
    for part in Part::IN_ORDER {
        if plan.measures(part)
            && let Err(error) = measure(part, &plan, &mut results).await
        {
            eprintln!("{part} failed: {error:#}");
            results.fail(part, &format!("{error:#}"));
        }
    }
    println!("{}", report::table(&plan, &results));
    if let Some(file) = &plan.json {
        std::fs::write(file, report::json(&plan, &results)?)?;
    }
    Ok(if results.failures().is_empty() { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

async fn measure(part: Part, plan: &Plan, results: &mut Results) -> Result<()> {
    match part {
        // Updates need the rows that the inserts brought: one part measures both.
        Part::Inserts => catch_up::measure(plan, results).await,
        Part::Updates if plan.measures(Part::Inserts) => Ok(()),
        Part::Updates => catch_up::measure(plan, results).await,
        Part::Live => live::measure(plan, results).await,
        Part::Latency => latency::measure(plan, results).await,
        Part::Backfill => backfill::measure(plan, results).await,
        Part::Growth => growth::measure(plan, results).await,
        Part::Memory => large::measure(plan, results).await,
        Part::Capacity => capacity::measure(plan, results).await,
    }
}
