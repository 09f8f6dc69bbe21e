//! What deciding needs beside the rows themselves: rules, feeds, decisions, the date.

use std::collections::HashMap;
use std::sync::Arc;

use jiff::civil;
use uuid::Uuid;

use super::chunks::ChunkSnapshots;
use super::feeds::Feeds;
use super::rollout::Rollout;
use crate::facts::EmailKey;
use crate::rules::Rules;

/// Active decisions about single rows. People make them one by one, so they fit in memory.
#[derive(Debug, Clone, Default)]
pub struct RowDecisions {
    /// The address to use for a source row.
    pub emails: HashMap<String, EmailKey>,
    /// The product of a source row.
    pub products: HashMap<String, String>,
}

/// Everything that a decision depends on beside the rows.
#[derive(Debug, Clone)]
pub struct Env {
    /// The rules of the data.
    pub rules: Arc<Rules>,
    /// What the feeds are, and how their rows are read.
    pub feeds: Arc<Feeds>,
    /// Active decisions about rows.
    pub decisions: RowDecisions,
    /// The evidence that was dismissed, by fingerprint of the conflict.
    pub dismissals: HashMap<Uuid, Uuid>,
    /// Snapshots of the last backfill while the stream may still repeat what they contained.
    pub chunks: ChunkSnapshots,
    /// The backfill that new rows belong to.
    pub generation: i64,
    /// Whose rows are written.
    pub rollout: Rollout,
    /// Today in the configured zone, the same for a whole batch (SPEC §5.4).
    pub today: civil::Date,
}

impl Env {
    /// Without decisions and chunks, on the first day of 1970: what is known before anything is read.
    #[must_use]
    pub fn new(rules: Rules, feeds: Arc<Feeds>) -> Self {
        Self {
            today: jiff::Timestamp::UNIX_EPOCH.to_zoned(rules.zone.clone()).date(),
            rules: Arc::new(rules),
            feeds,
            decisions: RowDecisions::default(),
            dismissals: HashMap::new(),
            chunks: ChunkSnapshots::default(),
            generation: 0,
            rollout: Rollout::default(),
        }
    }
}
