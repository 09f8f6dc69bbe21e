//! Rows that a change of `skip`, of `exclude` or of the feeds leaves out, under the guard (P9).

use super::{Backfill, Progress};
use crate::apply::Applier;
use crate::error::{Error, Result};
use crate::halt::{Deletes, Halt, HaltCause};
use crate::store;

impl Backfill<'_> {
    /// Halts in front of a configuration by which too many rows of a feed would give nothing any more.
    pub(super) async fn guard_left_out(&self, applier: &Applier, at: &Progress) -> Result<()> {
        let feeds = &applier.env.feeds;
        let mut deletes = Vec::new();
        for feed in feeds.numbers() {
            let is_removed = !feeds.get(feed).is_configured();
            let left_out = at.left_out.rows(feed);
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
        let rules = store::backfill::rules(self.config);
        let halt = Halt::new(HaltCause::Configuration { rules }, deletes);
        if crate::store::halt::is_accepted(&applier.db, &halt).await? {
            return Ok(());
        }
        Err(Error::Halted(Box::new(halt)))
    }
}
