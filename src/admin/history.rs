//! What the charts show: the lag of the last hours, sampled in memory.

use std::collections::VecDeque;
use std::fmt::Write as _;
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use crate::status::Status;

/// How often a sample is taken.
pub(super) const EVERY: Duration = Duration::from_secs(10);
/// Samples that are kept: six hours, 50 kB.
const KEPT: usize = 6 * 360;
/// Points of a chart; each is the highest of its samples, so that no peak is lost.
const POINTS: usize = 240;

#[derive(Default)]
pub(super) struct History(Mutex<VecDeque<Sample>>);

#[derive(Clone, Copy)]
struct Sample {
    lag_seconds: f64,
    retained_bytes: f64,
}

/// A line in a box of 240 by 100.
pub(super) struct Chart {
    /// `x,y` of each point.
    pub(super) points: String,
    /// The highest value.
    pub(super) highest: f64,
    /// How long ago the first point is.
    pub(super) minutes: usize,
}

impl History {
    pub(super) fn add(&self, status: &Status) {
        let mut all = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if all.len() == KEPT {
            all.pop_front();
        }
        let retained = status.slot_log.as_ref().map_or(0, |log| log.retained_bytes);
        let lag_seconds = status.lag_seconds.unwrap_or(0.0);
        all.push_back(Sample { lag_seconds, retained_bytes: retained as f64 });
    }

    pub(super) fn lag(&self) -> Chart {
        self.chart(|sample| sample.lag_seconds)
    }

    pub(super) fn retained(&self) -> Chart {
        self.chart(|sample| sample.retained_bytes)
    }

    fn chart(&self, of: fn(&Sample) -> f64) -> Chart {
        let values: Vec<f64> =
            self.0.lock().unwrap_or_else(PoisonError::into_inner).iter().map(of).collect();
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
        Chart { points, highest, minutes }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn is_bounded_and_keeps_peaks() {
        let history = History::default();
        assert_eq!(history.lag().points, "");
        for second in 0..10_000_u32 {
            let lag = if second == 9_000 { 50.0 } else { 0.0 };
            history.add(&Status { lag_seconds: Some(lag), ..Status::default() });
        }
        let chart = history.lag();
        assert_eq!((chart.highest, chart.minutes), (50.0, 360));
        assert!(chart.points.split_whitespace().count() <= POINTS);
        assert!(chart.points.contains(",2.0 "));
    }
}
