//! The publication as it is, to notice that it was altered.

use std::collections::BTreeMap;
use std::sync::Arc;

use serde::{Deserialize, Serialize};
use tokio_postgres::{Client, Statement};

use crate::config::Source;
use crate::error::{Context, Error, Result};

/// What a publication is at one time. Another one means that changes may have been hidden from the stream.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Print {
    /// Of the publication and its schemas.
    publication: String,
    /// Of its entry of each feed's table, by the feed's name.
    feeds: BTreeMap<String, String>,
}

/// Of what changes may have been hidden.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Altered {
    /// Of nothing.
    Nothing,
    /// Of these feeds.
    Feeds(Vec<String>),
    /// Of every feed.
    Everything,
}

impl Print {
    /// The text that is stored.
    ///
    /// # Errors
    /// None that can be: texts by text.
    pub fn stored(&self) -> Result<String> {
        serde_json::to_string(self).map_err(|error| Error::failed("noting the publication", error))
    }

    /// What the publication's alteration since then may have hidden. A feed of which nothing was noted is new: it is read
    /// anyway.
    #[must_use]
    pub fn altered_since(&self, stored: &str) -> Altered {
        let Ok(before) = serde_json::from_str::<Self>(stored) else {
            return self.altered_since_words(stored);
        };
        if before.publication != self.publication {
            return Altered::Everything;
        }
        let differs = |(name, print): &(&String, &String)| {
            before.feeds.get(*name).is_some_and(|before| before != *print)
        };
        let feeds: Vec<String> =
            self.feeds.iter().filter(differs).map(|(name, _)| name.clone()).collect();
        if feeds.is_empty() { Altered::Nothing } else { Altered::Feeds(feeds) }
    }

    /// An earlier version stored the same in words.
    fn altered_since_words(&self, stored: &str) -> Altered {
        let before: Vec<&str> = stored.split(' ').collect();
        let own: Vec<&str> = self.publication.split(' ').collect();
        let is_now = |word: &&str| own.contains(word) || self.feeds.values().any(|f| f == word);
        let is_same = own.iter().all(|word| before.contains(word)) && before.iter().all(is_now);
        if is_same { Altered::Nothing } else { Altered::Everything }
    }
}

/// Looks at the publication again and again. A table that was taken out of it and put back is
/// published as before, but what changed in between is in no stream (P1).
pub struct Watch {
    client: Arc<Client>,
    statement: Statement,
    publication: String,
    feeds: Vec<String>,
    tables: Vec<String>,
    /// As it was in the beginning; `None`: there is none.
    pub print: Option<Print>,
}

impl Watch {
    /// Looks at the publication for the first time.
    ///
    /// # Errors
    ///
    /// The source is away.
    pub async fn begin(client: Arc<Client>, source: &Source) -> Result<Self> {
        let what = "source: reading the publication";
        let version = "select current_setting('server_version_num')::int >= 150000";
        let has_schemas = client.query_one(version, &[]).await.context(what)?.get(0);
        let schemas = if has_schemas { include_str!("sql/published_schemas.sql") } else { "null" };
        let sql = include_str!("sql/publication_print.sql").replace("{schemas}", schemas);
        let statement = client.prepare(&sql).await.context(what)?;
        let feeds = source.feeds.iter().map(|feed| feed.name.clone()).collect();
        let tables = source.feeds.iter().map(|feed| feed.table.quoted()).collect();
        let publication = source.publication.clone();
        let mut watch = Self { client, statement, publication, feeds, tables, print: None };
        watch.print = watch.now().await?;
        Ok(watch)
    }

    /// Makes sure that it is the same as in the beginning. Asked after a commit was received, it answers for
    /// everything up to that commit. A source that no longer answers is no reason not to apply what it sent: it
    /// may be shutting down and wait for the confirmation, and the next session compares with what is noted.
    ///
    /// # Errors
    ///
    /// [`Error::Unavailable`] where it was altered: the next session finds out what that means, and what
    /// else the source says.
    pub async fn is_unaltered(&self) -> Result<()> {
        match self.now().await {
            Ok(print) if print == self.print => return Ok(()),
            Err(Error::Unavailable { .. }) => return Ok(()),
            Ok(_) => {}
            Err(error) => return Err(error),
        }
        let cause = "it was altered, which may have hidden changes";
        Err(Error::unavailable("source: following the publication", cause))
    }

    async fn now(&self) -> Result<Option<Print>> {
        let row = self.client.query_opt(&self.statement, &[&self.publication, &self.tables]).await;
        let row = row.context("source: reading the publication")?;
        Ok(row.map(|row| Print {
            publication: row.get(0),
            feeds: self.feeds.iter().cloned().zip(row.get::<_, Vec<String>>(1)).collect(),
        }))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_altered_entry_concerns_its_feed_alone_p18() {
        let print = |publication: &str, feeds: &[(&str, &str)]| Print {
            publication: publication.into(),
            feeds: feeds.iter().map(|(a, b)| ((*a).to_owned(), (*b).to_owned())).collect(),
        };
        let before = print("1 2", &[("a", "3/4"), ("b", "5/6")]).stored().unwrap();
        let check = |now: &Print, stored: &str, expected: &Altered| {
            assert_eq!(now.altered_since(stored), *expected, "{now:?} {stored}");
        };
        check(&print("1 2", &[("a", "3/4"), ("b", "5/6")]), &before, &Altered::Nothing);
        check(&print("1 2", &[("a", "3/4")]), &before, &Altered::Nothing);
        check(&print("1 2", &[("a", "3/4"), ("c", "7/8")]), &before, &Altered::Nothing);
        let one = Altered::Feeds(vec!["b".into()]);
        check(&print("1 2", &[("a", "3/4"), ("b", "9/9")]), &before, &one);
        check(&print("1 3", &[("a", "3/4"), ("b", "5/6")]), &before, &Altered::Everything);
        // As an earlier version stored it.
        let now = print("1 2", &[("a", "3/4"), ("b", "5/6")]);
        check(&now, "1 2 3/4 5/6", &Altered::Nothing);
        check(&now, "1 2 3/4 5/7", &Altered::Everything);
        check(&now, "1 3 3/4 5/6", &Altered::Everything);
        check(&print("1 2 8/9", &[("a", ""), ("b", "")]), "1 2 8/9", &Altered::Nothing);
        check(&print("1 2 8/9", &[("a", ""), ("b", "")]), "1 2 8/10", &Altered::Everything);
    }
}
