//! Rows that a change of `skip`, of `exclude` or of the feeds leaves out, as the guard of P9 counts them.

use std::collections::BTreeMap;

use serde_json::{Map, Value};

use crate::engine::rows::Balance;
use crate::error::Result;
use crate::facts::Feed;
use crate::pg::Tx;

/// Set where an earlier pass was not let through: what it left out comes back by this one.
const AGAIN: &str = "again";

/// By feed the rows that gave facts before the change and give none now. They are counted while rows are stored and placed,
/// which shows in no target; the guard is asked before anything does.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub(crate) struct LeftOut {
    rows: BTreeMap<i16, u64>,
    again: bool,
}

impl LeftOut {
    pub(crate) fn read(stored: Value) -> Self {
        let Value::Object(stored) = stored else { return Self::default() };
        let number = |(feed, rows): (&String, &Value)| Some((feed.parse().ok()?, rows.as_u64()?));
        Self { rows: stored.iter().filter_map(number).collect(), again: stored.contains_key(AGAIN) }
    }

    pub(crate) fn add(&mut self, balance: &Balance) {
        for (feed, change) in balance {
            let rows = self.rows.entry(feed.number()).or_default();
            *rows += change.leaving;
            if self.again {
                *rows = rows.saturating_sub(change.returning);
            }
        }
        self.rows.retain(|_, rows| *rows > 0);
    }

    pub(crate) async fn save(&self, tx: &Tx) -> Result<()> {
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

impl LeftOut {
    /// Those of a feed.
    pub(crate) fn rows(&self, feed: Feed) -> u64 {
        self.rows.get(&feed.number()).copied().unwrap_or(0)
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
