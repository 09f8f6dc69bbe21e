//! What the charts show: lag, log kept for the slot and rows a second of the last hours, sampled in memory.

use std::collections::VecDeque;
use std::fmt::Write as _;
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use crate::http::Health;

/// How often a sample is taken.
pub(super) const EVERY: Duration = Duration::from_secs(10);
/// Samples that are kept: six hours, 70 kB.
const KEPT: usize = 6 * 360;
/// Points of a chart; each is the highest of its samples, so that no peak is lost.
const POINTS: usize = 240;

#[derive(Default)]
pub(super) struct History(Mutex<VecDeque<Sample>>);

/// The state at one moment.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct Sample {
    pub(super) lag_seconds: f64,
    pub(super) retained_bytes: f64,
    /// Rows that the stream and the backfill have brought since the start.
    pub(super) rows: u64,
}

/// A line in a box of 240 by 100.
pub(super) struct Chart {
    /// `x,y` of each point.
    pub(super) points: String,
    /// The highest value.
    pub(super) highest: f64,
    /// The newest value.
    pub(super) now: f64,
    /// How long ago the first point is.
    pub(super) minutes: usize,
}

impl Chart {
    /// How long ago the first point is, in words.
    pub(super) fn span(&self) -> String {
        match self.minutes {
            0 => "the last minute".to_owned(),
            minutes @ 1..120 => format!("{minutes} min"),
            minutes => format!("{} h", minutes / 60),
        }
    }
}

impl Sample {
    pub(super) fn of(health: &Health) -> Self {
        let status = health.status();
        let retained = status.slot_log.as_ref().map_or(0, |log| log.retained_bytes);
        Self {
            lag_seconds: status.lag_seconds.unwrap_or(0.0),
            retained_bytes: retained as f64,
            rows: health.changes().rows() + status.backfill.rows_done,
        }
    }
}

impl History {
    pub(super) fn add(&self, sample: Sample) {
        let mut all = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if all.len() == KEPT {
            all.pop_front();
        }
        all.push_back(sample);
    }

    pub(super) fn lag(&self) -> Chart {
        chart(&self.values(|sample| sample.lag_seconds))
    }

    pub(super) fn retained(&self) -> Chart {
        chart(&self.values(|sample| sample.retained_bytes))
    }

    /// Rows a second between two samples. Another backfill counts from 0: that is no negative rate.
    pub(super) fn rate(&self) -> Chart {
        let rows = self.values(|sample| sample.rows as f64);
        let pairs = rows.iter().zip(rows.iter().skip(1));
        let rates: Vec<f64> =
            pairs.map(|(from, to)| (to - from).max(0.0) / EVERY.as_secs_f64()).collect();
        chart(&rates)
    }

    fn values(&self, of: fn(&Sample) -> f64) -> Vec<f64> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).iter().map(of).collect()
    }
}

fn chart(values: &[f64]) -> Chart {
    let minutes = values.len() * 10 / 60;
    let highest = values.iter().copied().fold(0.0, f64::max);
    let parts = values.chunks(values.len().div_ceil(POINTS).max(1));
    let parts: Vec<f64> = parts.map(|part| part.iter().copied().fold(0.0, f64::max)).collect();
    let step = 240.0 / (parts.len().saturating_sub(1).max(1)) as f64;
    let mut points = String::new();
    for (index, value) in parts.iter().enumerate() {
        let height = if highest > 0.0 { value / highest * 96.0 } else { 0.0 };
        let _ = write!(points, "{:.1},{:.1} ", index as f64 * step, 98.0 - height);
    }
    Chart { points, highest, now: values.last().copied().unwrap_or(0.0), minutes }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn is_bounded_and_keeps_peaks() {
        let history = History::default();
        assert_eq!(history.lag().points, "");
        for second in 0..10_000_u32 {
            let lag_seconds = if second == 9_000 { 50.0 } else { 0.0 };
            history.add(Sample { lag_seconds, ..Sample::default() });
        }
        let chart = history.lag();
        assert_eq!((chart.highest, chart.minutes), (50.0, 360));
        assert!(chart.points.split_whitespace().count() <= POINTS);
        assert!(chart.points.contains(",2.0 "));
    }

    #[test]
    fn a_rate_is_what_came_between_two_samples() {
        let history = History::default();
        for rows in [100, 600, 600, 50] {
            history.add(Sample { rows, ..Sample::default() });
        }
        let rate = history.rate();
        assert_eq!((rate.highest, rate.now), (50.0, 0.0));
        assert_eq!(rate.points.split_whitespace().count(), 3);
    }
}
