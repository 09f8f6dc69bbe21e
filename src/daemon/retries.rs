//! When something that waits is tried again: after a minute, then after twice as long each time, up to an
//! hour. Pure; time comes from the caller.

use std::collections::{BTreeSet, HashMap};
use std::hash::Hash;
use std::time::Duration;

use tokio::time::Instant;

/// The first pause.
const FIRST: Duration = Duration::from_secs(60);
/// The longest pause: what heals at night is noticed before the morning.
const LONGEST: Duration = Duration::from_secs(3_600);

/// Things that wait, each with its own pause.
#[derive(Debug)]
pub(super) struct Retries<K> {
    waiting: HashMap<K, Pause>,
}

#[derive(Debug, Clone, Copy)]
struct Pause {
    until: Instant,
    length: Duration,
}

impl<K: Eq + Hash + Ord + Clone> Retries<K> {
    /// Nothing waits.
    pub(super) fn new() -> Self {
        Self { waiting: HashMap::new() }
    }

    /// Which of those that wait now are to be tried. One that is new is tried at once; one that waits no
    /// more is forgotten.
    pub(super) fn due(&mut self, waiting: &BTreeSet<K>, now: Instant) -> BTreeSet<K> {
        self.waiting.retain(|key, _| waiting.contains(key));
        let mut due = BTreeSet::new();
        for key in waiting {
            let length = match self.waiting.get(key) {
                Some(pause) if now < pause.until => continue,
                Some(pause) => (pause.length * 2).min(LONGEST),
                None => FIRST,
            };
            self.waiting.insert(key.clone(), Pause { until: now + length, length });
            due.insert(key.clone());
        }
        due
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pauses_double_from_a_minute_to_an_hour() {
        let mut retries = Retries::new();
        let waiting = BTreeSet::from(["a"]);
        let (start, mut at, mut tried) = (Instant::now(), 0, Vec::new());
        while at < 4 * 3_600 {
            if !retries.due(&waiting, start + Duration::from_secs(at)).is_empty() {
                tried.push(at);
            }
            at += 60;
        }
        assert_eq!(tried, [0, 60, 180, 420, 900, 1_860, 3_780, 7_380, 10_980]);
    }

    #[test]
    fn what_is_new_is_tried_at_once_and_what_is_gone_is_forgotten() {
        let mut retries = Retries::new();
        let now = Instant::now();
        assert_eq!(retries.due(&BTreeSet::from([1]), now), BTreeSet::from([1]));
        assert_eq!(retries.due(&BTreeSet::from([1, 2]), now), BTreeSet::from([2]));
        assert_eq!(retries.due(&BTreeSet::new(), now), BTreeSet::new());
        assert_eq!(retries.due(&BTreeSet::from([1]), now), BTreeSet::from([1]));
    }
}
