//! What became of publication and tables since they were noted, and the reconcile that it makes necessary (P18).
//!
//! What was noted stays until the reconcile is scheduled, in one commit: a difference is found again at each start until
//! then (P1). The reconcile waits until the stream has passed the moment when the difference was seen: what the stream sent
//! of a table before it was replaced, renamed or emptied must not come after the reading that knows better, and a TRUNCATE
//! that is in the stream meets its guard there (P9).

use std::collections::BTreeMap;

use crate::apply::Applier;
use crate::config::Config;
use crate::error::{Context, Error, Result};
use crate::facts::Feed;
use crate::lsn::Lsn;
use crate::pg::{Client, Db};
use crate::source::catalog::Table;
use crate::source::watch::{Altered, AlteredFeed, Print};
use crate::source::{Watch, slot};
use crate::status::Stage;
use crate::store::backfill;

/// A reconcile that is due once the stream has come far enough.
#[derive(Debug, Clone)]
pub struct Due {
    /// What must be read again.
    pub altered: Altered,
    /// How far the stream must be.
    pub until: Lsn,
    /// What is noted then.
    pub print: Option<Print>,
}

impl Due {
    /// The names of the feeds that it reads; none where it reads all.
    #[must_use]
    pub fn feeds(&self) -> Vec<String> {
        match &self.altered {
            Altered::Feeds(feeds) => feeds.iter().map(|feed| feed.name.clone()).collect(),
            _ => Vec::new(),
        }
    }

    /// Whether it reads this feed.
    #[must_use]
    pub fn reads(&self, feed: &str) -> bool {
        match &self.altered {
            Altered::Nothing => false,
            Altered::Everything => true,
            Altered::Feeds(feeds) => feeds.iter().any(|altered| altered.name == feed),
        }
    }

    /// Of a source whose feeds are all read anyway: that every delete of what was truncated in part waits for an operator (P9).
    ///
    /// # Errors
    /// Those of the target.
    pub async fn schedule_truncated(&self, applier: &Applier, config: &Config) -> Result<()> {
        let Altered::Feeds(altered) = &self.altered else { return Ok(()) };
        let feeds = numbers(applier, altered.iter().filter(|feed| feed.truncated));
        if feeds.is_empty() {
            return Ok(());
        }
        backfill::schedule_feeds(&applier.db, config, &feeds, &feeds).await
    }

    /// Schedules it, and notes what publication and tables are, in one commit.
    ///
    /// # Errors
    /// Those of the target.
    pub async fn schedule(&self, applier: &Applier, config: &Config) -> Result<()> {
        let tx = applier.begin().await?;
        match &self.altered {
            Altered::Nothing => {}
            Altered::Everything => backfill::schedule(tx.db(), config, Stage::Rows).await?,
            Altered::Feeds(altered) => {
                let feeds = numbers(applier, altered.iter());
                let truncated = numbers(applier, altered.iter().filter(|feed| feed.truncated));
                backfill::schedule_feeds(tx.db(), config, &feeds, &truncated).await?;
            }
        }
        note_print(tx.db(), self.print.as_ref()).await?;
        tx.commit().await
    }
}

/// The numbers of these feeds.
fn numbers<'a>(applier: &Applier, altered: impl Iterator<Item = &'a AlteredFeed>) -> Vec<Feed> {
    let entries = altered.filter_map(|feed| applier.env.feeds.named(&feed.name));
    entries.map(|entry| entry.info.feed).collect()
}

/// Notes what publication and tables are.
///
/// # Errors
/// Those of the target.
pub async fn note_print(db: &Db, print: Option<&Print>) -> Result<()> {
    let print = print.map(Print::stored).transpose()?;
    let sql = "update tributary.state set publication = $1 where publication is distinct from $1";
    db.execute("target: noting the publication", sql, &[&print]).await?;
    Ok(())
}

/// Notes that something of these feeds was hidden from the stream: at the next start they differ from what was noted.
///
/// # Errors
/// Those of the target.
pub async fn note_hidden(db: &Db, feeds: &[&str]) -> Result<()> {
    let hidden: BTreeMap<&str, &str> = feeds.iter().map(|feed| (*feed, "hidden")).collect();
    let sql = "update tributary.state set publication = jsonb_set(publication::jsonb, '{feeds}', \
               (publication::jsonb -> 'feeds') || $1)::text";
    let params: [crate::pg::Param<'_>; 1] = [&serde_json::json!(hidden)];
    let noted = db.execute("target: noting hidden changes", sql, &params).await?;
    if noted == 1 {
        Ok(())
    } else {
        Err(Error::failed("noting hidden changes", "there is no state"))
    }
}

/// What was noted.
pub(super) struct Noticed {
    stored: Option<String>,
    print: Option<Print>,
}

impl Noticed {
    pub(super) async fn read(target: &Client) -> Result<Self> {
        let sql = "select publication from tributary.state where publication is not null";
        let row = target.query_opt(sql, &[]).await.context("target: reading the state")?;
        let stored: Option<String> = row.map(|row| row.get(0));
        Ok(Self { print: stored.as_deref().and_then(Print::read), stored })
    }

    /// Whether the table of a feed is another one than was noted: it is published as that one was.
    pub(super) fn replaces(&self, feed: &str, now: &BTreeMap<String, Table>) -> bool {
        let before = self.print.as_ref().and_then(|print| print.table(feed));
        before.zip(now.get(feed)).is_some_and(|(before, now)| now.replaces(before))
    }

    /// What is due because publication or tables are not as they were noted.
    pub(super) async fn due(&self, watch: &Watch, source: &Client) -> Result<Option<Due>> {
        let Some(stored) = &self.stored else { return Ok(None) };
        let altered = watch.altered(stored, watch.print.as_ref()).await?;
        if altered == Altered::Nothing {
            return Ok(None);
        }
        let until = slot::current_lsn(source).await?;
        tracing::warn!(
            why = altered.why(),
            %until,
            "the source was altered, which may have hidden changes; reconciling once the stream is there"
        );
        Ok(Some(Due { altered, until, print: watch.print.clone() }))
    }
}

/// A publication that lacks something is refused at the first start. Later on the daemon stays up until it is fixed.
pub(super) fn halting(error: Error, was_followed: bool) -> Error {
    match error {
        Error::Refused { problem, remedy } if was_followed => Error::Gone { problem, remedy },
        other => other,
    }
}

/// Makes sure that the tables are those of which the columns were read.
pub(super) fn is_same(before: &BTreeMap<String, Table>, now: Option<&Print>) -> Result<()> {
    let differs = |(name, table): (&String, &Table)| {
        now.is_some_and(|now| now.table(name).is_some_and(|now| now != table))
    };
    if before.iter().any(differs) {
        let cause = "a table was altered while this session opened";
        return Err(Error::unavailable("source: reading the catalog", cause));
    }
    Ok(())
}
