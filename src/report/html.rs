//! The report as one HTML file: no script, nothing from elsewhere, for screen (light and dark) and paper.

use std::collections::BTreeMap;

use askama::Template;
use jiff::Timestamp;
use jiff::tz::TimeZone;

use super::chart::{self, Pair, thousands};
use super::problems::Problem;
use super::quality::Measure;
use super::totals::Line;
use super::{Report, Written};
use crate::error::{Error, Result};

/// The page. Every text is escaped by the template; charts are drawn by [`chart`], which escapes its labels.
#[derive(Template)]
#[template(path = "report.html")]
struct Page<'a> {
    report: &'a Report,
    zone: &'a TimeZone,
    /// Failed points of the validation first.
    points: Vec<&'a crate::validate::Point>,
}

/// One number on top.
struct Tile {
    number: String,
    label: &'static str,
    /// Whether it needs somebody.
    alarm: bool,
}

/// A table of before and after.
struct Row {
    name: String,
    before: String,
    after: String,
}

/// The page of a report.
///
/// # Errors
/// Where the template cannot be filled, which no report causes.
pub fn page(report: &Report, zone: &TimeZone) -> Result<String> {
    let mut points: Vec<_> =
        report.contents.validation.iter().flat_map(|found| &found.points).collect();
    points.sort_by_key(|point| point.ok);
    let page = Page { report, zone, points }.render();
    page.map_err(|error| Error::failed("writing the page of a report", error))
}

impl Page<'_> {
    fn title(&self) -> &'static str {
        match self.report.operation.as_str() {
            "dry-run" => "Dry run",
            "verify" => "Verification",
            _ => "Backfill",
        }
    }

    fn local(&self, at: &Timestamp) -> String {
        at.to_zoned(self.zone.clone()).strftime("%Y-%m-%d %H:%M %Z").to_string()
    }

    fn day(&self, at: &Option<Timestamp>) -> String {
        let day = |at: &Timestamp| at.to_zoned(self.zone.clone()).strftime("%Y-%m-%d").to_string();
        at.as_ref().map_or_else(|| "–".to_owned(), day)
    }

    fn number(&self, value: &u64) -> String {
        thousands(*value)
    }

    fn tiles(&self) -> Vec<Tile> {
        let contents = &self.report.contents;
        let after = &contents.totals.after;
        let written: u64 = self.report.written.values().map(Written::all).sum();
        let successful: u64 = after.by("status").iter().map(|line| line.successful).sum();
        let people = after.rows.get("profiles").copied().unwrap_or(0);
        let tile = |label, value: u64| Tile { number: thousands(value), label, alarm: false };
        let mut tiles = vec![tile("source rows read", self.report.rows_read)];
        match &self.report.verification {
            Some(found) => {
                let alarm = found.differences > 0;
                tiles.push(Tile { alarm, ..tile("rows that differ", found.differences) });
            }
            None if self.report.operation == "dry-run" => {
                tiles.push(tile("rows to write", written));
            }
            None => tiles.push(tile("rows written", written)),
        }
        tiles.push(tile("profiles", people));
        tiles.push(tile("successful payments", successful));
        tiles.push(tile("problems to review", self.report.review()));
        if let Some(found) = &contents.validation {
            let number = format!("{} / {}", found.points.len() - found.failed, found.points.len());
            tiles.push(Tile { number, label: "validation points passed", alarm: found.failed > 0 });
        }
        tiles
    }

    /// Rows of each table before and after.
    fn tables(&self) -> Vec<(String, Option<u64>, u64, Written)> {
        let totals = &self.report.contents.totals;
        let rows = totals.after.rows.iter();
        rows.map(|(table, after)| {
            let before = totals.before.as_ref().and_then(|before| before.rows.get(table)).copied();
            let written = self.report.written.get(table).copied().unwrap_or_default();
            (table.clone(), before, *after, written)
        })
        .collect()
    }

    fn optional(&self, value: &Option<u64>) -> String {
        value.map_or_else(|| "–".to_owned(), thousands)
    }

    fn changed_columns(&self) -> Vec<(String, u64)> {
        let tables = self.report.changes.iter().flat_map(|changes| &changes.tables);
        let columns = tables.flat_map(|(table, rows)| {
            rows.update.by_column.iter().map(move |(name, n)| (format!("{table}.{name}"), *n))
        });
        let mut columns: Vec<_> = columns.collect();
        columns.sort_by_key(|(name, rows)| (std::cmp::Reverse(*rows), name.clone()));
        columns
    }

    /// The lines of a dimension as pairs: rows, or successful ones.
    fn pairs(&self, dimension: &str, count: fn(&Line) -> u64) -> Vec<Pair> {
        let totals = &self.report.contents.totals;
        let before: Option<BTreeMap<&str, u64>> = totals.before.as_ref().map(|before| {
            before.by(dimension).iter().map(|line| (line.key.as_str(), count(line))).collect()
        });
        let after = totals.after.by(dimension);
        let gone =
            before.iter().flatten().filter(|(key, _)| !after.iter().any(|line| line.key == **key));
        let gone = gone.map(|(key, rows)| ((*key).to_owned(), *rows, 0));
        let mut all: Vec<(String, u64, u64)> = after
            .iter()
            .map(|line| {
                let was = before.as_ref().and_then(|before| before.get(line.key.as_str()));
                (line.key.clone(), was.copied().unwrap_or(0), count(line))
            })
            .chain(gone)
            .collect();
        if dimension == "month" {
            // `earlier` is in front, what has no date at the end.
            all.sort_by_key(|(key, ..)| (key != super::totals::EARLIER, key.clone()));
        }
        all.retain(|(_, was, is)| was + is > 0);
        let pair =
            |(label, was, after)| Pair { label, before: before.as_ref().map(|_| was), after };
        all.into_iter().map(pair).collect()
    }

    fn by_product(&self) -> String {
        chart::bars(
            "Successful payments by product",
            &self.pairs("product", |line| line.successful),
        )
    }

    fn by_status(&self) -> String {
        chart::bars("Transactions by status", &self.pairs("status", |line| line.rows))
    }

    fn by_month(&self) -> String {
        chart::columns("Successful payments by month", &self.pairs("month", |line| line.successful))
    }

    /// The sums of successful payments by currency, over all and for each product.
    fn sums(&self) -> Vec<Row> {
        let totals = &self.report.contents.totals;
        let mut sums: BTreeMap<(usize, String), [Option<String>; 2]> = BTreeMap::new();
        let moments = [totals.before.as_ref(), Some(&totals.after)];
        for (at, totals) in moments.into_iter().enumerate() {
            let Some(totals) = totals else { continue };
            for (rank, dimension) in ["currency", "product"].into_iter().enumerate() {
                for line in totals.by(dimension) {
                    for (currency, amount) in &line.amounts {
                        let name = match dimension {
                            "currency" => format!("all, {currency}"),
                            _ => format!("{}, {currency}", line.key),
                        };
                        sums.entry((rank, name)).or_default()[at] = Some(money(amount));
                    }
                }
            }
        }
        let shown = |sum: Option<String>| sum.unwrap_or_else(|| "–".to_owned());
        sums.into_iter()
            .map(|((_, name), [before, after])| Row {
                name,
                before: shown(before),
                after: shown(after),
            })
            .collect()
    }

    fn has_before(&self) -> bool {
        self.report.contents.totals.before.is_some()
    }

    fn share(&self, measure: &Measure) -> String {
        // Rounded down: 100 % means all.
        format!("{:.1} %", (measure.share() * 1000.0).floor() / 10.0)
    }

    fn meter(&self, measure: &Measure) -> String {
        chart::meter(measure.title(), measure.share())
    }

    fn spark(&self, measure: &Measure) -> String {
        chart::sparkline(measure.title(), &self.report.shares(&measure.name))
    }

    /// The change since the report before, in points of percent.
    fn since(&self, measure: &Measure) -> String {
        let shares = self.report.shares(&measure.name);
        let Some(before) = shares.len().checked_sub(2).and_then(|at| shares.get(at)) else {
            return String::new();
        };
        let points = (measure.share() - before) * 100.0;
        if points.abs() < 0.05 { "=".to_owned() } else { format!("{points:+.1}") }
    }

    fn rows_of(&self, problem: &Problem) -> Vec<String> {
        let shown = problem.examples.iter().map(|example| {
            let rows = example.rows.join(", ");
            let about =
                example.about.as_ref().map_or_else(String::new, |about| format!(" ({about})"));
            if rows.is_empty() {
                format!("no. {}{about}", example.conflict)
            } else {
                format!("{rows}{about}")
            }
        });
        shown.collect()
    }
}

impl Written {
    /// Rows of all kinds.
    #[must_use]
    pub fn all(&self) -> u64 {
        self.inserted + self.updated + self.deleted
    }
}

/// A decimal text with its thousands apart and two digits behind the point.
fn money(amount: &str) -> String {
    let Ok(value) = amount.parse::<rust_decimal::Decimal>() else { return amount.to_owned() };
    let text = format!("{:.2}", value.abs());
    let (whole, cents) = text.split_once('.').unwrap_or((&text, "00"));
    let whole = whole.parse().map_or_else(|_| whole.to_owned(), thousands);
    let sign = if value.is_sign_negative() { "-" } else { "" };
    format!("{sign}{whole}.{cents}")
}

#[cfg(test)]
mod tests {
    use super::super::{Contents, Past};
    use super::*;

    #[test]
    fn money_is_read_at_a_glance() {
        for (amount, expected) in
            [("1234567.5", "1,234,567.50"), ("-12", "-12.00"), ("0.0000000", "0.00"), ("x", "x")]
        {
            assert_eq!(money(amount), expected, "{amount}");
        }
    }

    #[test]
    fn the_page_escapes_and_needs_nothing_from_elsewhere() {
        let measure = Measure { name: "paid_with_date".into(), good: 9, of: 10 };
        let mut report = Report::new("backfill", Contents::default());
        report.contents.problems.push(Problem {
            kind: "mojibake".into(),
            title: "<script>alert(1)</script>".into(),
            review: 1,
            ..Problem::default()
        });
        report.contents.quality.push(measure.clone());
        report.trend.push(Past { quality: vec![measure], ..Past::default() });
        let page = page(&report, &TimeZone::UTC).unwrap();
        assert!(!page.contains("<script") && page.contains("alert(1)"), "{page}");
        assert!(page.contains("class=\"spark\"") && page.contains("90.0 %"), "{page}");
        for foreign in ["http://", "https://", "<link", "@import", "url("] {
            assert!(!page.contains(foreign), "{foreign}");
        }
    }
}
