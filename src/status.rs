//! What the daemon says about itself (SPEC §9, `status --json` and `/status`).
//!
//! Plain data: the running daemon fills it through [`crate::http::Health`], the `status` command reads it
//! over HTTP or builds it from the target database.

mod stage;

use std::collections::BTreeMap;
use std::fmt;

use jiff::Timestamp;
use serde::{Deserialize, Deserializer, Serialize, Serializer};

pub use self::stage::Stage;
use crate::lsn::Lsn;

/// What the daemon is doing.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Phase {
    /// Connecting, migrating, checking.
    #[default]
    Starting,
    /// Another daemon works on this target; this one takes over when that one ends (P11).
    WaitingForLock,
    /// Reading the source tables.
    Backfilling,
    /// Following the source.
    Streaming,
    /// Stopped in front of something that an operator must accept or fix (P9). The process stays up.
    Halted,
}

impl Phase {
    /// Every phase, in the order of a daemon's life.
    pub const ALL: [Self; 5] =
        [Self::Starting, Self::WaitingForLock, Self::Backfilling, Self::Streaming, Self::Halted];

    /// The word in JSON and in metric labels.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Starting => "starting",
            Self::WaitingForLock => "waiting_for_lock",
            Self::Backfilling => "backfilling",
            Self::Streaming => "streaming",
            Self::Halted => "halted",
        }
    }
}

impl fmt::Display for Phase {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// One answer of `status --json`. Holds no customer value (P14).
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
pub struct Status {
    /// Version of the daemon that answered.
    pub version: String,
    /// Name of the replication slot.
    pub slot: String,
    /// What it is doing.
    pub phase: Phase,
    /// Why it halted and what to do; `None` when it did not.
    pub halted: Option<String>,
    /// Why it halted before it was restarted, while it has not come further since.
    #[serde(default)]
    pub unresolved: Option<String>,
    /// Progress stands still although the source writes on.
    #[serde(default)]
    pub frozen: bool,
    /// Why; `None` while it does not.
    #[serde(default)]
    pub frozen_because: Option<String>,
    /// When the daemon started; `None` in an answer from the database alone.
    #[serde(default)]
    pub started_at: Option<Timestamp>,
    /// Everything committed in the source up to here is in the target.
    #[serde(with = "lsn_text")]
    pub checkpoint_lsn: Option<Lsn>,
    /// The end of the source's log when it was last asked.
    #[serde(with = "lsn_text")]
    pub source_lsn: Option<Lsn>,
    /// Bytes of log between the two, 0 when the checkpoint is the newer answer.
    pub lag_bytes: Option<u64>,
    /// Seconds between the commit of the newest applied change in the source and its commit in the target,
    /// or 0 when nothing is waiting.
    pub lag_seconds: Option<f64>,
    /// The current backfill, or the last one.
    pub backfill: Backfill,
    /// Open conflicts.
    pub conflicts: OpenConflicts,
    /// By feed the rows that the configuration leaves out.
    #[serde(default)]
    pub left_out: LeftOutRows,
    /// How far the rollout is (SPEC §7a).
    #[serde(default)]
    pub rollout: Rollout,
    /// The log that the source keeps for the slot; `None` while it was not asked, and where there is no slot.
    #[serde(default)]
    pub slot_log: Option<SlotLog>,
}

impl Status {
    /// Recomputes what follows from the two positions.
    pub fn measure_lag(&mut self) {
        self.lag_bytes = match (self.source_lsn, self.checkpoint_lsn) {
            (Some(source), Some(checkpoint)) => Some(source.0.saturating_sub(checkpoint.0)),
            _ => None,
        };
    }
}

/// The log that the source keeps for the slot (SPEC §8, P12).
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
pub struct SlotLog {
    /// From the oldest that the slot needs to the end.
    pub retained_bytes: u64,
    /// How much more the source can write before the slot may be lost; `None`: it has no limit
    /// (`max_slot_wal_keep_size`).
    pub safe_bytes: Option<u64>,
    /// `reserved`, `extended`, `unreserved` or `lost`.
    pub wal_status: Option<String>,
    /// When that is, at the present rate of log; `None` where it is not in sight.
    pub seconds_to_loss: Option<f64>,
}

/// Progress of a backfill.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct Backfill {
    /// Source rows read; survives a restart.
    pub rows_done: u64,
    /// Source rows there are, by the planner's statistics; 0 when not known.
    pub rows_estimated: u64,
}

/// How far a rollout is, and what is not written of those who are outside.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Rollout {
    /// Percent of the people who are in.
    pub percent: u8,
    /// Rows that are not written.
    pub outside: Outside,
}

/// Rows that would be written of those who are outside of a rollout.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Outside {
    /// Profiles, one a person.
    pub profiles: u64,
    /// Transactions.
    pub transactions: u64,
    /// Enrollments.
    pub enrollments: u64,
    /// Unique values of people who are in that a row of somebody outside holds.
    pub held_values: u64,
}

impl Default for Rollout {
    fn default() -> Self {
        Self { percent: 100, outside: Outside::default() }
    }
}

/// Open conflicts by severity (SPEC §6).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct OpenConflicts {
    /// A person must look.
    pub review: u64,
    /// Handled automatically.
    pub info: u64,
}

/// By feed the rows that give nothing (SPEC §1).
pub type LeftOutRows = BTreeMap<String, LeftOut>;

/// Rows of one feed that the configuration leaves out.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct LeftOut {
    /// By `skip` of the feed.
    pub skipped: u64,
    /// By `[rules.exclude] emails`.
    pub excluded: u64,
}

/// The configured feeds with what was counted: the name of a feed, the reason, how many rows.
#[must_use]
pub fn left_out<'f>(
    feeds: impl Iterator<Item = &'f str>,
    counted: Vec<(String, String, u64)>,
) -> LeftOutRows {
    let mut all: LeftOutRows = feeds.map(|feed| (feed.to_owned(), LeftOut::default())).collect();
    for (feed, reason, rows) in counted {
        let of = all.entry(feed).or_default();
        match reason.as_str() {
            "excluded" => of.excluded = rows,
            _ => of.skipped = rows,
        }
    }
    all
}

/// LSNs as PostgreSQL writes them.
mod lsn_text {
    use super::{Deserialize, Deserializer, Lsn, Serialize, Serializer};

    pub(super) fn serialize<S: Serializer>(lsn: &Option<Lsn>, to: S) -> Result<S::Ok, S::Error> {
        lsn.map(|lsn| lsn.to_string()).serialize(to)
    }

    pub(super) fn deserialize<'de, D: Deserializer<'de>>(from: D) -> Result<Option<Lsn>, D::Error> {
        let Some(text) = Option::<String>::deserialize(from)? else { return Ok(None) };
        Lsn::parse(&text)
            .map(Some)
            .ok_or_else(|| serde::de::Error::custom("an LSN such as 16/B374D848 was expected"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// SPEC §9: the names and forms that scripts rely on.
    #[test]
    fn json_has_the_documented_fields() {
        let mut status = Status {
            version: "1.2.3".into(),
            slot: "tributary".into(),
            phase: Phase::WaitingForLock,
            checkpoint_lsn: Some(Lsn(0x16_0000_0010)),
            source_lsn: Some(Lsn(0x16_0000_0110)),
            lag_seconds: Some(0.5),
            backfill: Backfill { rows_done: 3, rows_estimated: 4 },
            conflicts: OpenConflicts { review: 1, info: 2 },
            left_out: BTreeMap::from([("orders".into(), LeftOut { skipped: 3, excluded: 0 })]),
            rollout: Rollout::default(),
            slot_log: Some(SlotLog {
                retained_bytes: 9,
                safe_bytes: Some(90),
                wal_status: Some("reserved".into()),
                seconds_to_loss: Some(1.5),
            }),
            ..Status::default()
        };
        status.measure_lag();
        let json = serde_json::to_value(&status).unwrap();
        let expected = serde_json::json!({
            "version": "1.2.3", "slot": "tributary", "phase": "waiting_for_lock", "halted": null, "unresolved": null,
            "frozen": false, "frozen_because": null, "started_at": null, "checkpoint_lsn": "16/10", "source_lsn": "16/110",
            "lag_bytes": 256, "lag_seconds": 0.5,
            "backfill": {"rows_done": 3, "rows_estimated": 4},
            "conflicts": {"review": 1, "info": 2},
            "left_out": {"orders": {"skipped": 3, "excluded": 0}},
            "rollout": {
                "percent": 100,
                "outside": {"profiles": 0, "transactions": 0, "enrollments": 0, "held_values": 0}
            },
            "slot_log": {"retained_bytes": 9, "safe_bytes": 90, "wal_status": "reserved", "seconds_to_loss": 1.5}
        });
        assert_eq!(json, expected);
        assert_eq!(serde_json::from_value::<Status>(json).unwrap(), status);
    }

    #[test]
    fn lag_is_never_negative_and_unknown_without_both_positions() {
        let table = [
            (None, None, None),
            (Some(5), None, None),
            (None, Some(5), None),
            (Some(5), Some(3), Some(2)),
            (Some(3), Some(5), Some(0)),
        ];
        for (source, checkpoint, expected) in table {
            let mut status = Status {
                source_lsn: source.map(Lsn),
                checkpoint_lsn: checkpoint.map(Lsn),
                ..Status::default()
            };
            status.measure_lag();
            assert_eq!(status.lag_bytes, expected, "{source:?} {checkpoint:?}");
        }
    }

    #[test]
    fn phases_are_written_as_the_specification_does() {
        for phase in Phase::ALL {
            assert_eq!(serde_json::to_value(phase).unwrap(), phase.as_str());
        }
    }
}
