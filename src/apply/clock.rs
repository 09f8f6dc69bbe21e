//! Today: the local date of the target server's clock, the same for a whole batch (SPEC §5.4).

use std::time::{Duration, Instant};

use jiff::{SignedDuration, Timestamp};

use super::Applier;
use crate::error::{Error, Result};

/// How long a reading is carried on by this process before the next one.
const READ_AGAIN: Duration = Duration::from_secs(10);
/// How often it is noted what the clock showed.
const NOTE_AGAIN: SignedDuration = SignedDuration::from_hours(1);
/// A clock that is set back by more than this is reported.
const SET_BACK: SignedDuration = SignedDuration::from_hours(24);

/// The target server's clock, read now and then and carried on between.
#[derive(Debug, Default)]
pub(super) struct TargetClock {
    read: Option<(Timestamp, Instant)>,
    /// What `tributary.state` holds.
    noted: Option<Timestamp>,
}

impl TargetClock {
    fn now(&self) -> Option<Timestamp> {
        let (read, at) = self.read?;
        read.checked_add(at.elapsed()).ok()
    }

    fn is_due(&self) -> bool {
        self.read.is_none_or(|(_, at)| at.elapsed() >= READ_AGAIN)
    }

    /// Takes a reading. By how much the clock was set back, where that is to be reported.
    fn take(&mut self, now: Timestamp, noted: Option<Timestamp>) -> Option<SignedDuration> {
        let latest = self.now().into_iter().chain(noted).max();
        self.read = Some((now, Instant::now()));
        self.noted = noted;
        let back = latest?.duration_since(now);
        (back > SET_BACK).then_some(back)
    }

    /// Whether what is noted is so old, or so far ahead, that it is noted again.
    fn is_to_be_noted(&self, now: Timestamp) -> bool {
        self.noted.is_none_or(|noted| now.duration_since(noted).abs() >= NOTE_AGAIN)
    }
}

impl Applier {
    /// Reads today from the target server's clock. One that was set back by more than a day is reported, and halts nothing.
    ///
    /// # Errors
    /// Those of the target.
    pub async fn read_today(&mut self) -> Result<()> {
        const WHAT: &str = "target: asking for the time";
        let sql = "select clock_timestamp(), clock_at from tributary.state";
        let rows = self.db.query(WHAT, sql, &[]).await?;
        let row = rows.first().ok_or_else(|| Error::failed(WHAT, "tributary.state is empty"))?;
        let now: Timestamp = row.get(0);
        let back = self.clock.take(now, row.get(1));
        self.set_today(now);
        if let Some(back) = back {
            tracing::warn!(
                hours = back.as_hours(),
                today = %self.env.today,
                "the clock of the target server was set back by more than a day; enrollments are judged by its date"
            );
        }
        Ok(())
    }

    /// As [`Applier::read_today`], where the last reading is old, and notes what the clock showed.
    ///
    /// # Errors
    /// Those of the target.
    pub async fn keep_today(&mut self) -> Result<()> {
        if self.clock.is_due() {
            self.read_today().await?;
        }
        self.carry_today_on();
        let Some(now) = self.clock.now().filter(|now| self.clock.is_to_be_noted(*now)) else {
            return Ok(());
        };
        let tx = self.begin().await?;
        let sql = "update tributary.state set clock_at = $1";
        tx.execute("target: noting the time", sql, &[&now]).await?;
        tx.commit().await?;
        self.clock.noted = Some(now);
        Ok(())
    }

    /// Today as the last reading has it by now, for a batch: it costs no round trip.
    pub fn carry_today_on(&mut self) {
        if let Some(now) = self.clock.now() {
            self.set_today(now);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(text: &str) -> Timestamp {
        text.parse().unwrap()
    }

    #[test]
    fn a_clock_that_is_set_back_by_more_than_a_day_is_reported_once() {
        let mut clock = TargetClock::default();
        assert!(clock.is_due() && clock.now().is_none());
        let first = at("2026-03-05T10:00:00Z");
        assert_eq!(clock.take(first, None), None);
        assert!(!clock.is_due() && clock.now() >= Some(first));
        assert!(clock.is_to_be_noted(first));
        // Less than a day, or by nothing.
        assert_eq!(clock.take(at("2026-03-04T11:00:00Z"), Some(first)), None);
        assert_eq!(clock.take(at("2026-03-05T10:30:00Z"), Some(first)), None);
        assert!(!clock.is_to_be_noted(at("2026-03-05T10:30:00Z")));
        let back = clock.take(at("2026-03-03T09:00:00Z"), None);
        assert_eq!(back.map(|back| back.as_hours()), Some(49));
        assert_eq!(clock.take(at("2026-03-03T09:00:01Z"), None), None);
        // By what was noted before a restart.
        let mut clock = TargetClock::default();
        let back = clock.take(at("2026-03-03T09:00:00Z"), Some(first));
        assert_eq!(back.map(|back| back.as_hours()), Some(49));
        assert!(clock.is_to_be_noted(at("2026-03-03T09:00:00Z")));
    }
}
