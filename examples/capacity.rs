//! How long, how much log, how much disk: what a number of people and of changes a second needs, from measured figures.
//!
//! ```text
//! cargo run --example capacity -- --people 100000000 --changes-per-second 5000
//! ```
//!
//! The figures are those of `docs/capacity.json`, which `make bench BENCH="--only capacity --json FILE"` wrote on one machine; `--figures`
//! takes the file of yours. `docs/capacity.md` says what the calculation assumes.

use std::path::PathBuf;
use std::process::ExitCode;

use clap::Parser;
use serde_json::Value;

const SHIPPED: &str = include_str!("../docs/capacity.json");

/// Of what one writer can apply, the share that is planned with: the rest is for peaks and for catching up.
const PLANNED: f64 = 0.5;

const DAY: f64 = 86_400.0;

/// Calculates time, log and disk for a number of people and of changes a second.
#[derive(Debug, Parser)]
struct Arguments {
    /// People, with a contact each
    #[arg(long, default_value_t = 1_000_000)]
    people: u64,
    /// Payments [default: one a person]
    #[arg(long)]
    payments: Option<u64>,
    /// Changed rows of all feeds a second, on average
    #[arg(long, default_value_t = 10.0)]
    changes_per_second: f64,
    /// How long the daemon or the target may be away
    #[arg(long, default_value_t = 4.0)]
    outage_hours: f64,
    /// Figures of your own machine, as `bench --json` writes them
    #[arg(long, value_name = "FILE")]
    figures: Option<PathBuf>,
}

/// What was measured.
#[derive(Debug, Clone, Copy, PartialEq)]
struct Figures {
    people: f64,
    /// Source rows a second.
    backfill: f64,
    /// Changed rows a second.
    changes: f64,
    source_log_of_change: f64,
    target_log_of_change: f64,
    target_log_of_row: f64,
    /// Bytes of a person with a contact and a payment.
    source_disk: f64,
    own_disk: f64,
    target_disk: f64,
    /// MiB, whatever the size.
    memory: f64,
}

impl Figures {
    fn parse(text: &str) -> Result<Self, String> {
        let file: Value = serde_json::from_str(text).map_err(|error| error.to_string())?;
        let entries = file["figures"].as_array().ok_or("the file has no list \"figures\"")?;
        let find = |name: &str| {
            let of = |entry: &&Value| entry["part"] == "capacity" && entry["figure"] == name;
            let value = entries.iter().find(of).and_then(|entry| entry["value"].as_f64());
            value.ok_or_else(|| format!("the file has no figure \"{name}\" of the part capacity"))
        };
        Ok(Self {
            people: find("people")?,
            backfill: find("backfill")?,
            changes: find("changes")?,
            source_log_of_change: find("source log of a change")?,
            target_log_of_change: find("target log of a change")?,
            target_log_of_row: find("target log of a backfilled row")?,
            source_disk: find("source tables of a person")?,
            own_disk: find("schema tributary of a person")?,
            target_disk: find("target tables of a person")?,
            memory: find("peak memory of the daemon")?,
        })
    }
}

/// What one installation needs.
#[derive(Debug, Clone, Copy, PartialEq)]
struct Needs {
    backfill_seconds: f64,
    /// Log of the source that the slot keeps while the backfill runs, and what the target writes.
    backfill_slot: f64,
    backfill_log: f64,
    /// `None`: the changes come faster than they are applied.
    after_backfill: Option<f64>,
    outage_slot: f64,
    after_outage: Option<f64>,
    source_disk: f64,
    own_disk: f64,
    target_disk: f64,
    target_log_of_day: f64,
}

impl Needs {
    fn of(figures: &Figures, people: f64, payments: f64, changes: f64, outage: f64) -> Self {
        // A contact and a payment were measured together; what a person has more or less counts as half of that.
        let persons = f64::midpoint(people, payments);
        let backfill_seconds = (people + payments) / figures.backfill;
        let spare = figures.changes - changes;
        let catches_up = |seconds: f64| (spare > 0.0).then(|| changes * seconds / spare);
        Self {
            backfill_seconds,
            backfill_slot: changes * backfill_seconds * figures.source_log_of_change,
            backfill_log: (people + payments) * figures.target_log_of_row,
            after_backfill: catches_up(backfill_seconds),
            outage_slot: changes * outage * figures.source_log_of_change,
            after_outage: catches_up(outage),
            source_disk: persons * figures.source_disk,
            own_disk: persons * figures.own_disk,
            target_disk: persons * figures.target_disk,
            target_log_of_day: changes * DAY * figures.target_log_of_change,
        }
    }
}

/// How many installations share the changes, so that each has a part of its capacity to spare.
fn installations(figures: &Figures, changes: f64) -> u64 {
    // Positive and small, as it is a quotient of rates.
    let enough = (changes / (figures.changes * PLANNED)).ceil() as u64;
    enough.max(1)
}

fn report(arguments: &Arguments, figures: &Figures) -> String {
    let number = |count: u64| count as f64;
    let payments = arguments.payments.unwrap_or(arguments.people);
    let changes = arguments.changes_per_second;
    let count = installations(figures, changes);
    let share = number(count);
    let outage = arguments.outage_hours * 3_600.0;
    let needs = Needs::of(
        figures,
        number(arguments.people) / share,
        number(payments) / share,
        changes / share,
        outage,
    );
    let catching_up = |time: Option<f64>| {
        time.map_or_else(|| "never: changes come faster than they are applied".to_owned(), span)
    };
    let lines = [
        (
            "installations",
            format!(
                "{count} (one writer applies {:.0} changes/s; planned with {:.0} %)",
                figures.changes,
                PLANNED * 100.0
            ),
        ),
        (
            "people of each",
            format!(
                "{:.0}, {:.0} payments, {:.1} changes/s",
                number(arguments.people) / share,
                number(payments) / share,
                changes / share
            ),
        ),
        ("first backfill", span(needs.backfill_seconds)),
        ("  log kept by the slot meanwhile", bytes(needs.backfill_slot)),
        ("  log written by the target", bytes(needs.backfill_log)),
        ("  catching up afterwards", catching_up(needs.after_backfill)),
        ("an outage", span(outage)),
        ("  log kept by the slot", bytes(needs.outage_slot)),
        ("  catching up afterwards", catching_up(needs.after_outage)),
        ("source tables", bytes(needs.source_disk)),
        ("schema tributary", bytes(needs.own_disk)),
        ("target tables", bytes(needs.target_disk)),
        ("log of the target a day", bytes(needs.target_log_of_day)),
        ("memory of the daemon", format!("{:.0} MiB, whatever the size", figures.memory)),
    ];
    lines.map(|(name, value)| format!("{name:<34}{value}\n")).concat()
}

/// The measured figures as the table of docs/capacity.md.
fn table(figures: &Figures) -> String {
    let rows = [
        ("backfill", format!("{:.0} source rows/s", figures.backfill)),
        ("changes applied by one writer", format!("{:.0} rows/s", figures.changes)),
        ("log of the source", format!("{} a changed row", bytes(figures.source_log_of_change))),
        (
            "log of the target",
            format!(
                "{} a changed row, {} a backfilled row",
                bytes(figures.target_log_of_change),
                bytes(figures.target_log_of_row)
            ),
        ),
        ("disk of a million people: source tables", bytes(figures.source_disk * 1e6)),
        ("disk of a million people: schema `tributary`", bytes(figures.own_disk * 1e6)),
        ("disk of a million people: target tables", bytes(figures.target_disk * 1e6)),
        ("peak memory of the daemon", format!("{:.0} MiB", figures.memory)),
    ];
    let rows = rows.map(|(name, value)| format!("| {name} | {value} |\n")).concat();
    format!("| with {:.0} people and as many payments | |\n|---|---|\n{rows}", figures.people)
}

/// Two or three digits are all that a calculation has.
fn span(seconds: f64) -> String {
    match seconds {
        short if short < 120.0 => format!("{short:.0} s"),
        some if some < 7_200.0 => format!("{:.0} min", some / 60.0),
        hours if hours < 2.0 * DAY => format!("{:.1} h", hours / 3_600.0),
        days => format!("{:.1} days", days / DAY),
    }
}

fn bytes(bytes: f64) -> String {
    let units = [("TiB", 40), ("GiB", 30), ("MiB", 20), ("KiB", 10)];
    let of = |power: i32| bytes / 2f64.powi(power);
    match units.into_iter().find(|(_, power)| of(*power) >= 1.0) {
        Some((unit, power)) if of(power) < 10.0 => format!("{:.1} {unit}", of(power)),
        Some((unit, power)) => format!("{:.0} {unit}", of(power)),
        None => format!("{bytes:.0} bytes"),
    }
}

fn main() -> ExitCode {
    let arguments = Arguments::parse();
    let text = match &arguments.figures {
        Some(file) => std::fs::read_to_string(file).map_err(|error| error.to_string()),
        None => Ok(SHIPPED.to_owned()),
    };
    match text.and_then(|text| Figures::parse(&text)) {
        Ok(figures) => {
            print!("{}\n{}", table(&figures), report(&arguments, &figures));
            ExitCode::SUCCESS
        }
        Err(problem) => {
            eprintln!("error: the figures cannot be read: {problem}");
            ExitCode::FAILURE
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const ROUND: Figures = Figures {
        people: 1_000.0,
        backfill: 2_000.0,
        changes: 1_000.0,
        source_log_of_change: 100.0,
        target_log_of_change: 1_000.0,
        target_log_of_row: 500.0,
        source_disk: 700.0,
        own_disk: 800.0,
        target_disk: 900.0,
        memory: 40.0,
    };

    #[test]
    fn needs_follow_from_the_figures() {
        let needs = Needs::of(&ROUND, 1e6, 1e6, 500.0, 3_600.0);
        let expected = Needs {
            backfill_seconds: 1_000.0,
            backfill_slot: 5e7,
            backfill_log: 1e9,
            after_backfill: Some(1_000.0),
            outage_slot: 1.8e8,
            after_outage: Some(3_600.0),
            source_disk: 7e8,
            own_disk: 8e8,
            target_disk: 9e8,
            target_log_of_day: 4.32e10,
        };
        assert_eq!(needs, expected);
        assert_eq!(Needs::of(&ROUND, 1e6, 1e6, 1_000.0, 1.0).after_outage, None);
    }

    #[test]
    fn one_writer_ends_where_half_of_what_it_applies_is_used() {
        for (changes, expected) in [(0.0, 1), (500.0, 1), (501.0, 2), (5_000.0, 10)] {
            assert_eq!(installations(&ROUND, changes), expected, "{changes}");
        }
    }

    #[test]
    fn figures_are_shown_with_the_digits_that_they_have() {
        let spans = [(9.6, "10 s"), (600.0, "10 min"), (9_000.0, "2.5 h"), (2.5 * DAY, "2.5 days")];
        for (seconds, expected) in spans {
            assert_eq!(span(seconds), expected);
        }
        for (size, expected) in [
            (12.0, "12 bytes"),
            (2_048.0, "2.0 KiB"),
            (5e9, "4.7 GiB"),
            (2e12, "1.8 TiB"),
            (2e10, "19 GiB"),
        ] {
            assert_eq!(bytes(size), expected);
        }
    }

    /// The document has the figures of the data file, and the example its output.
    #[test]
    fn the_document_says_what_is_calculated() {
        let page = include_str!("../docs/capacity.md");
        let figures = Figures::parse(SHIPPED).unwrap();
        assert!(page.contains(&table(&figures)), "docs/capacity.md lacks:\n{}", table(&figures));
        let arguments = ["capacity", "--people", "100000000", "--changes-per-second", "5000"];
        let shown = report(&Arguments::parse_from(arguments), &figures);
        assert!(page.contains(&shown), "docs/capacity.md lacks:\n{shown}");
    }
}
