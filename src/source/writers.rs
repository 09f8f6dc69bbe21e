//! Who was writing to the feeds when their reading began.
//!
//! What a transaction wrote before its table was in the publication is in no stream, and until it has committed no reading sees
//! it either. A commit that waits for a standby was streamed and may have been applied by a session before; no reading sees it
//! yet. Both are over once the transaction has ended, so a reading begins only then (P1, P12, P18). Nothing is locked (P19).

use std::collections::HashSet;
use std::time::Duration;

use tokio::time::Instant;

use crate::config::TableName;
use crate::error::{Context, Result};
use crate::pg::Client;

/// After what time it is looked again, at first, and at most: each look passes over all locks of the server.
const PAUSE: Duration = Duration::from_millis(20);
const LONGEST_PAUSE: Duration = Duration::from_secs(1);

/// The transactions that are waited for.
#[derive(Debug)]
pub struct Writers {
    tables: Vec<String>,
    /// `None`: nobody has looked yet.
    open: Option<HashSet<String>>,
    pause: Duration,
    look_at: Instant,
}

impl Writers {
    /// Those that write to these tables when it is looked for the first time.
    #[must_use]
    pub fn to<'t>(tables: impl Iterator<Item = &'t TableName>) -> Self {
        let tables = tables.map(TableName::quoted).collect();
        Self { tables, open: None, pause: PAUSE, look_at: Instant::now() }
    }

    /// Whether all of them have ended, as far as was looked.
    ///
    /// # Errors
    /// The source is away.
    pub async fn have_ended(&mut self, source: &Client) -> Result<bool> {
        let is_over = |open: &Option<HashSet<String>>| open.as_ref().is_some_and(HashSet::is_empty);
        if is_over(&self.open) || Instant::now() < self.look_at {
            return Ok(is_over(&self.open));
        }
        let sql = include_str!("sql/writers.sql");
        let rows = source.query(sql, &[&self.tables]).await;
        let rows = rows.context("source: looking for transactions that write to the feeds")?;
        // One that is prepared goes by another name than before.
        let is_waited_for = |id: &String, is_prepared: bool| {
            is_prepared || self.open.as_ref().is_none_or(|open| open.contains(id))
        };
        let open = rows.iter().map(|row| (row.get(0), row.get(1)));
        let open = open.filter(|(id, is_prepared)| is_waited_for(id, *is_prepared));
        self.open = Some(open.map(|(id, _)| id).collect());
        self.look_at = Instant::now() + self.pause;
        self.pause = (self.pause * 2).min(LONGEST_PAUSE);
        Ok(is_over(&self.open))
    }

    /// How many are open.
    #[must_use]
    pub fn open(&self) -> usize {
        self.open.as_ref().map_or(0, HashSet::len)
    }
}
