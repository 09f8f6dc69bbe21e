//! `tributary report`: what an operation left behind.

use std::fmt::Write as _;
use std::io::Write as _;
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use jiff::tz::TimeZone;

use super::Context;
use super::output::{self, print};
use crate::ask::open_migrated;
use crate::error::{Error, Result};
use crate::report::chart::thousands;
use crate::report::problems::reveal;
use crate::report::{Report, Written, html, store};

const HELP: &str = "\
A report is made after each backfill and each `tributary verify`, and kept as long as its entry in the operation log. That of a dry
run is given by `tributary backfill --dry-run --report FILE`, as a dry run writes nothing.

Examples name source rows by their keys; with --show-values they also say what they are about.

Examples:
  # The newest report
  tributary report

  # One page for a browser or a printer
  tributary report --html report.html

  # The report of an entry of `tributary log`, for a program
  tributary report 12 --json";

/// Show what a backfill or verification left behind: rows, totals, data quality with its trend, known problems
#[derive(Debug, clap::Args)]
#[command(after_help = HELP)]
pub(super) struct Args {
    /// The entry of the operation log; else the newest that has a report.
    entry: Option<i64>,
    /// Write one HTML file.
    #[arg(long, value_name = "FILE")]
    html: Option<PathBuf>,
    /// Print one JSON object.
    #[arg(long)]
    json: bool,
    /// Show what the examples are about. That is customer data.
    #[arg(long)]
    show_values: bool,
}

/// Shows a report.
///
/// # Errors
/// Those of the target; a refusal where there is no such report.
pub(super) async fn run(args: Args, context: &Context) -> Result<ExitCode> {
    let config = &context.config()?;
    let db = &open_migrated(config).await?;
    let Some(mut report) = store::load(db, args.entry).await? else {
        return Err(Error::refused(
            match args.entry {
                Some(entry) => format!("entry {entry} has no report"),
                None => "there is no report yet".to_owned(),
            },
            "backfills and verifications have one: `tributary log --operation backfill --operation verify` lists them",
        ));
    };
    if args.show_values {
        reveal(db.client(), &mut report.contents.problems).await?;
    }
    let zone = &config.rules.zone;
    if let Some(file) = &args.html {
        write_file(file, &html::page(&report, zone)?, args.show_values)?;
    }
    if args.json {
        print(&output::json(&report)?)?;
    } else if args.html.is_none() {
        print(&render(&report, zone))?;
    }
    Ok(ExitCode::SUCCESS)
}

/// Writes a report into a file: as a page where its name ends in .html, else as JSON.
///
/// # Errors
/// Those of the file system.
pub(super) fn write(file: &Path, report: &Report, zone: &TimeZone) -> Result<()> {
    let ending = file.extension().and_then(|ending| ending.to_str()).unwrap_or_default();
    let is_page = ["html", "htm"].iter().any(|page| ending.eq_ignore_ascii_case(page));
    let text = if is_page { html::page(report, zone)? } else { output::json(report)? };
    write_file(file, &text, false)
}

/// Values are customers': a file that is made for them is its owner's alone.
fn write_file(file: &Path, text: &str, has_values: bool) -> Result<()> {
    let mut options = std::fs::OpenOptions::new();
    options.write(true).create(true).truncate(true);
    #[cfg(unix)]
    std::os::unix::fs::OpenOptionsExt::mode(&mut options, if has_values { 0o600 } else { 0o666 });
    let written = options.open(file).and_then(|mut file| file.write_all(text.as_bytes()));
    written.map_err(|error| Error::failed(format!("writing {}", file.display()), error))
}

fn render(report: &Report, zone: &TimeZone) -> String {
    let at = report.at.to_zoned(zone.clone()).strftime("%Y-%m-%d %H:%M").to_string();
    let entry =
        report.entry.map_or_else(String::new, |entry| format!(", entry {entry} of the log"));
    let mut text = format!(
        "{} of {at}{entry}: {} source rows read\n\n",
        report.operation,
        thousands(report.rows_read)
    );
    for part in [feeds(report), tables(report), totals(report), quality(report)] {
        text.push_str(&part);
        text.push('\n');
    }
    text.push_str(&problems(report));
    if let Some(found) = &report.verification {
        let (differences, checked) = (thousands(found.differences), thousands(found.checked));
        let _ = writeln!(text, "verification  {differences} of {checked} rows differ");
    }
    if let Some(found) = &report.contents.validation {
        let _ = writeln!(
            text,
            "validation    {} of {} points failed",
            found.failed,
            found.points.len()
        );
        for point in found.points.iter().filter(|point| !point.ok) {
            let (name, expected, found) =
                (&point.point, output::cell(&point.expected), output::cell(&point.found));
            let _ = writeln!(text, "  FAILED      {name}: expected {expected}, found {found}");
        }
    }
    text
}

fn feeds(report: &Report) -> String {
    let mut rows = output::table(&["FEED", "KIND", "ROWS", "SKIPPED", "EXCLUDED"]);
    for feed in &report.contents.feeds {
        let counts = [feed.rows, feed.skipped, feed.excluded].map(thousands);
        rows.add_row([output::cell(&feed.name), feed.kind.clone()].into_iter().chain(counts));
    }
    output::text(&rows)
}

fn tables(report: &Report) -> String {
    let totals = &report.contents.totals;
    let mut rows = output::table(&["TABLE", "BEFORE", "INSERTED", "UPDATED", "DELETED", "AFTER"]);
    for (table, after) in &totals.after.rows {
        let before = totals.before.as_ref().and_then(|before| before.rows.get(table));
        let Written { inserted, updated, deleted } =
            report.written.get(table).copied().unwrap_or_default();
        rows.add_row([
            table.clone(),
            before.map_or_else(|| "-".to_owned(), |rows| thousands(*rows)),
            thousands(inserted),
            thousands(updated),
            thousands(deleted),
            thousands(*after),
        ]);
    }
    output::text(&rows)
}

fn totals(report: &Report) -> String {
    let totals = &report.contents.totals;
    let mut rows = output::table(&["SUCCESSFUL PAYMENTS", "BEFORE", "AFTER", "SUM AFTER"]);
    for dimension in ["product", "status", "currency"] {
        for line in totals.after.by(dimension).iter().filter(|line| line.successful > 0) {
            let before = totals.before.as_ref().map(|before| {
                let found = before.by(dimension).iter().find(|was| was.key == line.key);
                thousands(found.map_or(0, |was| was.successful))
            });
            let sums = line.amounts.iter().map(|(currency, sum)| format!("{currency} {sum}"));
            rows.add_row([
                format!("{dimension} {}", line.key),
                before.unwrap_or_else(|| "-".to_owned()),
                thousands(line.successful),
                sums.collect::<Vec<_>>().join(", "),
            ]);
        }
    }
    output::text(&rows)
}

fn quality(report: &Report) -> String {
    let mut rows = output::table(&["DATA QUALITY", "SHARE", "ROWS", "BEFORE"]);
    for measure in &report.contents.quality {
        let shares = report.shares(&measure.name);
        let percent = |share: &f64| format!("{:.1} %", (share * 1000.0).floor() / 10.0);
        let before = shares.len().checked_sub(2).and_then(|at| shares.get(at));
        rows.add_row([
            measure.title().to_owned(),
            percent(&measure.share()),
            format!("{} of {}", thousands(measure.good), thousands(measure.of)),
            before.map_or_else(|| "-".to_owned(), percent),
        ]);
    }
    output::text(&rows)
}

fn problems(report: &Report) -> String {
    let mut text = String::new();
    for problem in &report.contents.problems {
        let (review, info) = (thousands(problem.review), thousands(problem.info));
        let _ = writeln!(
            text,
            "{} ({}): {review} to review, {info} noted",
            problem.title, problem.kind
        );
        let _ = writeln!(text, "  {}", problem.advice);
        for example in &problem.examples {
            let about = example.about.as_deref().map(|about| format!("  {}", output::cell(about)));
            let rows = output::cell(&example.rows.join(", "));
            let _ =
                writeln!(text, "  no. {}  {rows}{}", example.conflict, about.unwrap_or_default());
        }
        text.push('\n');
    }
    text
}
