//! Rows that a change of `skip`, of `exclude` or of the feeds leaves out, under the guard (P9).

use std::collections::BTreeMap;

use serde_json::{Map, Value};

use super::{Backfill, Progress};
use crate::apply::Applier;
use crate::engine::rows::Balance;
use crate::error::{Error, Result};
use crate::halt::{Deletes, Halt, HaltCause};
use crate::pg::{Db, Tx};
use crate::store;

/// Set where an earlier pass was not let through: what it left out comes back by this one.
const AGAIN: &str = "again";

/// By feed the rows that gave facts before the change and give none now. They are counted while rows are stored and placed,
/// which shows in no target; the guard is asked before anything does.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub(super) struct LeftOut {
    rows: BTreeMap<i16, u64>,
    again: bool,
}

impl LeftOut {
    pub(super) fn read(stored: Value) -> Self {
        let Value::Object(stored) = stored else { return Self::default() };
        let number = |(feed, rows): (&String, &Value)| Some((feed.parse().ok()?, rows.as_u64()?));
        Self { rows: stored.iter().filter_map(number).collect(), again: stored.contains_key(AGAIN) }
    }

    pub(super) fn add(&mut self, balance: &Balance) {
        for (feed, change) in balance {
            let rows = self.rows.entry(feed.number()).or_default();
            *rows += change.leaving;
            if self.again {
                *rows = rows.saturating_sub(change.returning);
            }
        }
        self.rows.retain(|_, rows| *rows > 0);
    }

    pub(super) async fn save(&self, tx: &Tx) -> Result<()> {
        let mut stored: Map<String, Value> =
            self.rows.iter().map(|(feed, rows)| (feed.to_string(), (*rows).into())).collect();
        if self.again {
            stored.insert(AGAIN.to_owned(), 1.into());
        }
        let sql = "update tributary.backfill set left_out = $1 where left_out <> $1";
        tx.execute("target: advancing the backfill", sql, &[&Value::Object(stored)]).await?;
        Ok(())
    }
}

/// As [`rules_wait`], in SQL.
pub const RULES_WAIT: &str = "exists (select from tributary.backfill b, tributary.state s \
    where (b.phase in ('rows', 'recheck', 'emails', 'place') or b.phase = 'shared' and b.next_owner is null) \
    and b.rules <> s.facts_hash || ' ' || s.people_hash)";

/// Whether other rules than those in force are being brought in and the guard has not let them through yet (P9): until
/// then nothing may be decided by them that shows in a target.
///
/// # Errors
/// Those of the target.
pub async fn rules_wait(db: &Db) -> Result<bool> {
    let sql = format!("select {RULES_WAIT}");
    let rows = db.query("target: reading the backfill", &sql, &[]).await?;
    Ok(rows.first().is_some_and(|row| row.get(0)))
}

impl Backfill<'_> {
    /// Halts in front of a configuration by which too many rows of a feed would give nothing any more.
    pub(super) async fn guard_left_out(&self, applier: &Applier, at: &Progress) -> Result<()> {
        let feeds = &applier.env.feeds;
        let mut deletes = Vec::new();
        for feed in feeds.numbers() {
            let is_removed = !feeds.get(feed).is_configured();
            let left_out = at.left_out.rows.get(&feed.number()).copied().unwrap_or(0);
            if !is_removed && left_out == 0 {
                continue;
            }
            let (of, unseen) = store::row::count(&applier.db, feed, at.generation).await?;
            let rows = if is_removed { unseen } else { left_out };
            if self.config.guard.stops(rows, of) {
                deletes.push(Deletes { table: feeds.name(feed).to_owned(), rows, of });
            }
        }
        if deletes.is_empty() {
            return Ok(());
        }
        let rules = super::rules(self.config);
        let halt = Halt::new(HaltCause::Configuration { rules }, deletes);
        if crate::store::halt::is_accepted(&applier.db, &halt).await? {
            return Ok(());
        }
        Err(Error::Halted(Box::new(halt)))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::engine::rows::Change;
    use crate::facts::Feed;

    #[test]
    fn what_comes_back_after_a_pass_that_was_not_let_through_does_not_count_p9() {
        let balance =
            |leaving, returning| Balance::from([(Feed::new(2), Change { leaving, returning })]);
        let mut first = LeftOut::default();
        first.add(&balance(5, 3));
        assert_eq!(first.rows, BTreeMap::from([(2, 5)]));
        let mut again = LeftOut::read(serde_json::json!({ "2": 5, "again": 1 }));
        again.add(&balance(1, 4));
        assert_eq!(again.rows, BTreeMap::from([(2, 2)]));
        again.add(&balance(0, 4));
        assert_eq!(again, LeftOut { rows: BTreeMap::new(), again: true });
        assert_eq!(LeftOut::read(serde_json::json!({})), LeftOut::default());
    }
}
