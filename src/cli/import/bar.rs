//! Progress of an import: a bar on a terminal, log lines otherwise; both with the rate and the time that is left.

use std::io::IsTerminal as _;
use std::sync::Mutex;
use std::time::{Duration, Instant};

use indicatif::{ProgressBar, ProgressDrawTarget, ProgressStyle};

use crate::import::Progress;

/// How often progress is logged where there is no terminal.
const LOG_INTERVAL: Duration = Duration::from_secs(10);

/// Shows progress.
pub(super) struct Bar {
    bar: Option<ProgressBar>,
    begun: Mutex<Option<Begun>>,
}

/// Where it began: behind what an interrupted run had done.
struct Begun {
    at: Instant,
    done: u64,
    logged: Instant,
}

impl Bar {
    /// A bar where standard error is a terminal.
    pub(super) fn new() -> Self {
        let is_shown = std::io::stderr().is_terminal();
        Self::on(is_shown.then(ProgressDrawTarget::stderr))
    }

    fn on(target: Option<ProgressDrawTarget>) -> Self {
        let bar = target.map(|target| {
            let bar = ProgressBar::with_draw_target(None, target);
            let style =
                "{msg:30} {wide_bar} {human_pos}/{human_len} records  {per_sec}  {eta} left";
            let style = ProgressStyle::with_template(style);
            bar.set_style(style.unwrap_or_else(|_| ProgressStyle::default_bar()));
            bar
        });
        Self { bar, begun: Mutex::new(None) }
    }

    pub(super) fn show(&self, at: &Progress) {
        let Ok(mut begun) = self.begun.lock() else { return };
        let is_first = begun.is_none();
        let now = Instant::now();
        let begun = begun.get_or_insert(Begun { at: now, done: at.done, logged: now });
        if let Some(bar) = &self.bar {
            bar.set_length(at.of.max(at.done));
            bar.set_position(at.done);
            if is_first {
                // What another run did says nothing of this one's rate.
                bar.reset_eta();
            }
            bar.set_message(at.load.clone());
            return;
        }
        if now - begun.logged >= LOG_INTERVAL {
            begun.logged = now;
            let (rate, left) = pace(at, begun.done, now - begun.at);
            let Progress { load, done, of } = at;
            tracing::info!(load, records = done, of, rate, seconds_left = left, "import");
        }
    }

    pub(super) fn end(&self) {
        if let Some(bar) = &self.bar {
            bar.finish_and_clear();
        }
    }
}

/// Records a second since it began, and the seconds that are left at this rate; `None` before the first of them.
fn pace(at: &Progress, before: u64, elapsed: Duration) -> (u64, Option<u64>) {
    let rate = at.done.saturating_sub(before) as f64 / elapsed.as_secs_f64().max(0.001);
    let left = at.of.saturating_sub(at.done) as f64 / rate;
    (rate as u64, (rate > 0.0).then_some(left.ceil() as u64))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(done: u64) -> Progress {
        Progress { load: "users to public.users".into(), done, of: 10_000 }
    }

    #[test]
    fn the_rate_and_what_is_left_leave_out_what_another_run_did() {
        assert_eq!(pace(&at(6000), 4000, Duration::from_secs(10)), (200, Some(20)));
        assert_eq!(pace(&at(10_000), 0, Duration::from_secs(3)), (3333, Some(0)));
        assert_eq!(pace(&at(4000), 4000, Duration::from_secs(1)), (0, None));
    }

    #[test]
    fn the_bar_goes_from_where_it_begins_to_the_end() {
        let bar = Bar::on(Some(ProgressDrawTarget::hidden()));
        for done in [4000, 7000, 10_000] {
            bar.show(&at(done));
            let shown = bar.bar.as_ref().unwrap();
            assert_eq!((shown.position(), shown.length()), (done, Some(10_000)));
            assert_eq!(shown.message(), "users to public.users");
        }
        bar.end();
        assert!(bar.bar.as_ref().unwrap().is_finished());
    }
}
