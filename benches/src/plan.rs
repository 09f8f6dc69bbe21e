//! Which parts are measured, with how many rows.

use std::fmt;
use std::path::PathBuf;
use std::time::Duration;

use anyhow::Result;
use clap::{Parser, ValueEnum};
use testkit::cluster::server_version;

/// Measures Tributary beside native logical replication, triggers and a set-based script.
#[derive(Debug, Parser)]
#[command(name = "bench")]
pub(crate) struct Arguments {
    /// Measure these parts only
    #[arg(long, value_enum, value_delimiter = ',', value_name = "PARTS")]
    only: Vec<Part>,
    /// How often each figure is taken
    #[arg(long, value_parser = clap::value_parser!(u32).range(1..=99))]
    rounds: Option<u32>,
    /// Contacts of the backlogs and the backfill [default: 200000]
    #[arg(long, value_name = "ROWS")]
    contacts: Option<u64>,
    /// Payments of the backlogs and the backfill [default: 200000]
    #[arg(long, value_name = "ROWS")]
    payments: Option<u64>,
    /// As many contacts and payments, in place of the two options above
    #[arg(long, value_name = "ROWS", conflicts_with_all = ["contacts", "payments"])]
    people: Option<u64>,
    /// People in the tables for the cost per change [default: 10000,100000,1000000]
    #[arg(long, value_delimiter = ',', value_name = "PEOPLE")]
    sizes: Vec<u64>,
    /// Changes whose cost is measured with each of --sizes [default: 20000]
    #[arg(long, value_name = "ROWS")]
    changes: Option<u64>,
    /// Contacts, and as many payments, in the tables for the parts live and latency [default: 20000]
    #[arg(long, value_name = "ROWS")]
    live_people: Option<u64>,
    /// Single-row transactions of the part live [default: 6000]
    #[arg(long, value_name = "NUMBER")]
    transactions: Option<u64>,
    /// How long the part latency commits 50 transactions a second, in each round [default: 10]
    #[arg(long, value_name = "SECONDS")]
    latency_seconds: Option<u64>,
    /// Rows of the one large transaction of the part memory [default: 1000000]
    #[arg(long, value_name = "ROWS")]
    large_transaction: Option<u64>,
    /// Longest wait for any one thing; what takes longer fails
    #[arg(long, value_name = "SECONDS", default_value_t = 1_800)]
    patience: u64,
    /// Write all figures to this file
    #[arg(long, value_name = "FILE")]
    json: Option<PathBuf>,
    /// Few rows and one round: shows that it works, not how fast
    #[arg(long)]
    quick: bool,
}

/// One thing to measure.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum Part {
    /// Catching up a backlog of inserts
    Inserts,
    /// Catching up a backlog of updates of every row
    Updates,
    /// Single-row transactions from three connections while everything is up
    Live,
    /// From commit to visible, at 50 single-row transactions a second
    Latency,
    /// `tributary backfill` beside a set-based script
    Backfill,
    /// Cost per change with ever more people in the tables
    Growth,
    /// Peak memory during one large transaction (every part reports its own)
    Memory,
    /// What people and changes cost in time, log and disk, as docs/capacity.md calculates with
    Capacity,
}

impl Part {
    pub(crate) const IN_ORDER: [Self; 8] = [
        Self::Inserts,
        Self::Updates,
        Self::Live,
        Self::Latency,
        Self::Backfill,
        Self::Growth,
        Self::Memory,
        Self::Capacity,
    ];
}

impl fmt::Display for Part {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Inserts => "inserts",
            Self::Updates => "updates",
            Self::Live => "live",
            Self::Latency => "latency",
            Self::Backfill => "backfill",
            Self::Growth => "growth",
            Self::Memory => "memory",
            Self::Capacity => "capacity",
        })
    }
}

/// The arguments with their defaults filled in.
#[derive(Debug, Clone)]
pub(crate) struct Plan {
    /// Version of the servers.
    pub(crate) postgres: String,
    only: Vec<Part>,
    pub(crate) rounds: u32,
    pub(crate) contacts: u64,
    pub(crate) payments: u64,
    pub(crate) sizes: Vec<u64>,
    pub(crate) changes: u64,
    pub(crate) live_people: u64,
    pub(crate) transactions: u64,
    pub(crate) latency: Duration,
    pub(crate) large_transaction: u64,
    pub(crate) patience: Duration,
    pub(crate) json: Option<PathBuf>,
    pub(crate) quick: bool,
}

impl Plan {
    pub(crate) fn new(arguments: Arguments) -> Result<Self> {
        let usual = |value: Option<u64>, full: u64, quick: u64| {
            value.unwrap_or(if arguments.quick { quick } else { full })
        };
        let people = arguments.people;
        let mut sizes = arguments.sizes;
        if sizes.is_empty() {
            let quick = [200, 1_000].as_slice();
            let full = [10_000, 100_000, 1_000_000].as_slice();
            sizes = if arguments.quick { quick } else { full }.to_vec();
        }
        Ok(Self {
            postgres: server_version()?,
            only: arguments.only,
            rounds: arguments.rounds.unwrap_or(if arguments.quick { 1 } else { 3 }),
            contacts: usual(arguments.contacts.or(people), 200_000, 1_000).max(1),
            payments: usual(arguments.payments.or(people), 200_000, 1_000).max(1),
            sizes,
            changes: usual(arguments.changes, 20_000, 200).max(1),
            live_people: usual(arguments.live_people, 20_000, 500).max(10),
            transactions: usual(arguments.transactions, 6_000, 150).max(3),
            latency: Duration::from_secs(usual(arguments.latency_seconds, 10, 1).max(1)),
            large_transaction: usual(arguments.large_transaction, 1_000_000, 5_000).max(2),
            patience: Duration::from_secs(arguments.patience),
            json: arguments.json,
            quick: arguments.quick,
        })
    }

    pub(crate) fn measures(&self, part: Part) -> bool {
        self.only.is_empty() || self.only.contains(&part)
    }

    /// What is measured, in one line.
    pub(crate) fn headline(&self) -> String {
        let cores = std::thread::available_parallelism().map_or(0, std::num::NonZero::get);
        format!(
            "PostgreSQL {}, {cores} cores, fsync on; {} contacts, {} payments, {} rounds",
            self.postgres, self.contacts, self.payments, self.rounds
        )
    }
}
