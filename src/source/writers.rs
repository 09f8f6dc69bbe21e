//! Who was writing to the feeds when their reading began.
//!
//! What a transaction wrote before its table was in the publication is in no stream, and until it has committed no reading sees
//! it either. A commit that waits for a standby was streamed and may have been applied by a session before; no reading sees it
//! yet. Both are over once the transaction has ended, so a reading begins only then (P1, P12, P18). Nothing is locked (P19).

use std::collections::{HashMap, HashSet};
use std::time::Duration;

use tokio::time::Instant;

use crate::config::TableName;
use crate::error::{Context, Result};
use crate::pg::Client;

const WHAT: &str = "source: looking for transactions that write to the feeds";

/// After what time it is looked again, at first, and at most: each look passes over all locks of the server.
const PAUSE: Duration = Duration::from_millis(20);
const LONGEST_PAUSE: Duration = Duration::from_secs(1);

/// The transactions that are waited for.
#[derive(Debug)]
pub struct Writers {
    tables: Vec<String>,
    open: Open,
    pause: Duration,
    look_at: Instant,
}

/// Which of them have not ended, as far as was looked.
#[derive(Debug)]
enum Open {
    /// Nobody has looked yet.
    Unknown,
    /// Those that hold a lock, with their processes.
    Running(HashMap<String, i32>),
    /// Those that were prepared when the last of the others had ended: one of the others may be among them. Later ones do not
    /// matter, or a source that always has some would never be read.
    Prepared(HashSet<String>),
    /// A standby does not know who holds locks: all transactions that began before this one.
    Before(i64),
    /// None.
    Over,
}

impl Writers {
    /// Those that write to these tables when it is looked for the first time.
    #[must_use]
    pub fn to<'t>(tables: impl Iterator<Item = &'t TableName>) -> Self {
        let tables = tables.map(TableName::quoted).collect();
        Self { tables, open: Open::Unknown, pause: PAUSE, look_at: Instant::now() }
    }

    /// Whether all of them have ended, as far as was looked.
    ///
    /// # Errors
    /// The source is away.
    pub async fn have_ended(&mut self, source: &Client) -> Result<bool> {
        if !matches!(self.open, Open::Over) && Instant::now() >= self.look_at {
            self.open = self.look(source).await?;
            self.look_at = Instant::now() + self.pause;
            self.pause = (self.pause * 2).min(LONGEST_PAUSE);
        }
        Ok(matches!(self.open, Open::Over))
    }

    async fn look(&self, source: &Client) -> Result<Open> {
        let row = source.query_one(include_str!("sql/snapshot_bounds.sql"), &[]).await;
        let row = row.context(WHAT)?;
        let (is_standby, oldest, next): (bool, i64, i64) = (row.get(0), row.get(1), row.get(2));
        if is_standby {
            let bound = if let Open::Before(bound) = self.open { bound } else { next };
            return Ok(if oldest >= bound { Open::Over } else { Open::Before(bound) });
        }
        let rows = source.query(include_str!("sql/writers.sql"), &[&self.tables]).await;
        let (mut running, mut prepared) = (HashMap::new(), HashSet::new());
        for row in rows.context(WHAT)? {
            match row.get(1) {
                Some(process) => drop(running.insert(row.get(0), process)),
                None => drop(prepared.insert(row.get(0))),
            }
        }
        Ok(self.open.after(running, prepared))
    }

    /// Who is waited for: processes of the source, and how many prepared transactions.
    #[must_use]
    pub fn open(&self) -> (Vec<i32>, usize) {
        match &self.open {
            Open::Running(running) => (running.values().copied().collect(), 0),
            Open::Prepared(prepared) => (Vec::new(), prepared.len()),
            Open::Unknown | Open::Before(_) | Open::Over => (Vec::new(), 0),
        }
    }
}

impl Open {
    /// What is left where these hold locks now.
    fn after(&self, mut running: HashMap<String, i32>, mut prepared: HashSet<String>) -> Self {
        match self {
            Self::Running(before) => running.retain(|id, _| before.contains_key(id)),
            Self::Prepared(before) => {
                running.clear();
                prepared.retain(|id| before.contains(id));
            }
            Self::Unknown | Self::Before(_) | Self::Over => {}
        }
        match (running.is_empty(), prepared.is_empty()) {
            (false, _) => Self::Running(running),
            (true, false) => Self::Prepared(prepared),
            (true, true) => Self::Over,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn who_comes_later_is_not_waited_for() {
        let mut open = Open::Unknown;
        let mut look = |running: &[&str], prepared: &[&str]| {
            let running = running.iter().map(|id| ((*id).to_owned(), 7)).collect();
            open = open.after(running, prepared.iter().map(|id| (*id).to_owned()).collect());
            match &open {
                Open::Running(running) => format!("running {}", running.len()),
                Open::Prepared(prepared) => format!("prepared {}", prepared.len()),
                _ => "over".to_owned(),
            }
        };
        assert_eq!(look(&["3/1", "4/1"], &["-1/5"]), "running 2");
        assert_eq!(look(&["4/1", "5/1"], &["-1/5"]), "running 1");
        // One of the two was prepared, and others were.
        assert_eq!(look(&["5/1"], &["-1/6", "-1/7"]), "prepared 2");
        assert_eq!(look(&["5/1"], &["-1/7", "-1/8"]), "prepared 1");
        assert_eq!(look(&["5/1"], &["-1/8"]), "over");
    }
}
