//! The publication and the tables as they are, to notice what no message of the stream carries (P18).

use std::collections::BTreeMap;
use std::sync::Arc;

use serde::{Deserialize, Serialize};
use tokio_postgres::Statement;
use tokio_postgres::error::SqlState;

use super::catalog::Table;
use crate::config::Source;
use crate::error::{Context, Error, Result};
use crate::pg::Client;

const READING: &str = "source: reading the catalog";

/// What publication and tables are at one time. Another one means that changes may have been hidden from the stream.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Print {
    /// Of the publication and its schemas.
    publication: String,
    /// Of its entry of each feed's table, by the feed's name.
    feeds: BTreeMap<String, String>,
    /// The feeds' tables; empty as earlier versions stored it.
    #[serde(default)]
    tables: BTreeMap<String, Table>,
}

/// Of what changes may have been hidden.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Altered {
    /// Of nothing.
    Nothing,
    /// Of these feeds.
    Feeds(Vec<AlteredFeed>),
    /// Of every feed.
    Everything,
}

/// A feed of which changes may have been hidden.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct AlteredFeed {
    /// Its name.
    pub name: String,
    /// What happened, in words.
    pub why: String,
    /// It, or a partition of it, was truncated (P9).
    pub truncated: bool,
}

impl Altered {
    /// In words, for the log.
    #[must_use]
    pub fn why(&self) -> String {
        match self {
            Self::Nothing => "nothing".to_owned(),
            Self::Everything => "the publication was altered".to_owned(),
            Self::Feeds(feeds) => {
                let each = feeds.iter().map(|feed| format!("{}: {}", feed.name, feed.why));
                each.collect::<Vec<_>>().join("; ")
            }
        }
    }
}

impl Print {
    /// The text that is stored.
    ///
    /// # Errors
    /// None that can be: texts by text.
    pub fn stored(&self) -> Result<String> {
        serde_json::to_string(self).map_err(|error| Error::failed("noting the publication", error))
    }

    /// What was stored; `None` where an earlier version stored it in words.
    #[must_use]
    pub fn read(stored: &str) -> Option<Self> {
        serde_json::from_str(stored).ok()
    }

    /// The table of a feed.
    #[must_use]
    pub fn table(&self, feed: &str) -> Option<&Table> {
        self.tables.get(feed)
    }

    /// Whether the publication is the same.
    fn publishes_as(&self, other: &Self) -> bool {
        self.publication == other.publication && self.feeds == other.feeds
    }

    /// The feeds whose entry of the publication is another than it was. One of which nothing was noted is new: it is read
    /// anyway.
    fn republished_since<'p>(&'p self, before: &'p Self) -> impl Iterator<Item = &'p String> {
        let differs = |(name, print): &(&String, &String)| {
            before.feeds.get(*name).is_some_and(|before| before != *print)
        };
        self.feeds.iter().filter(differs).map(|(name, _)| name)
    }

    /// An earlier version stored the publication in words.
    fn is_as_in_words(&self, stored: &str) -> bool {
        let before: Vec<&str> = stored.split(' ').collect();
        let own: Vec<&str> = self.publication.split(' ').collect();
        let is_now = |word: &&str| own.contains(word) || self.feeds.values().any(|f| f == word);
        own.iter().all(|word| before.contains(word)) && before.iter().all(is_now)
    }
}

/// Looks at publication and tables again and again. A table that was taken out of the publication and put back is published
/// as before, but what changed in between is in no stream (P1).
pub struct Watch {
    client: Arc<Client>,
    publication_statement: Statement,
    catalog_statement: Statement,
    publication: String,
    feeds: Vec<String>,
    tables: Vec<String>,
    /// By table the columns that are read.
    columns: serde_json::Value,
    /// As it was in the beginning; `None`: there is no publication.
    pub print: Option<Print>,
}

impl Watch {
    /// Looks at publication and tables for the first time.
    ///
    /// # Errors
    ///
    /// The source is away.
    pub async fn begin(client: Arc<Client>, source: &Source) -> Result<Self> {
        let version = "select current_setting('server_version_num')::int >= 150000";
        let has_schemas = client.query_one(version, &[]).await.context(READING)?.get(0);
        let schemas = if has_schemas { include_str!("sql/published_schemas.sql") } else { "null" };
        let sql = include_str!("sql/publication_print.sql").replace("{schemas}", schemas);
        let publication_statement = client.prepare(&sql).await.context(READING)?;
        let sql = include_str!("sql/catalog.sql");
        let catalog_statement = client.prepare(sql).await.context(READING)?;
        let columns: Vec<Vec<&str>> = source.feeds.iter().map(|feed| feed.columns()).collect();
        let mut watch = Self {
            client,
            publication_statement,
            catalog_statement,
            publication: source.publication.clone(),
            feeds: source.feeds.iter().map(|feed| feed.name.clone()).collect(),
            tables: source.feeds.iter().map(|feed| feed.table.quoted()).collect(),
            columns: serde_json::json!(columns),
            print: None,
        };
        watch.print = watch.now().await?;
        Ok(watch)
    }

    /// The tables of the feeds, by the feed's name.
    ///
    /// # Errors
    /// The source is away.
    pub async fn catalog(&self) -> Result<BTreeMap<String, Table>> {
        let params: [crate::pg::Param<'_>; 2] = [&self.tables, &self.columns];
        let rows = self.client.query(&self.catalog_statement, &params).await.context(READING)?;
        let table = |row: &tokio_postgres::Row| {
            serde_json::from_value(row.get(0)).map_err(|error| Error::failed(READING, error))
        };
        let tables = rows.iter().map(table).collect::<Result<Vec<Table>>>()?;
        Ok(self.feeds.iter().cloned().zip(tables).collect())
    }

    /// Makes sure that the publication is the same as in the beginning. Asked after a commit was received, it answers for
    /// everything up to that commit. A source that no longer answers is no reason not to apply what it sent: it
    /// may be shutting down and wait for the confirmation, and the next session compares with what is noted.
    ///
    /// # Errors
    ///
    /// [`Error::Unavailable`] where it was altered: the next session finds out what that means, and what
    /// else the source says.
    pub async fn is_unaltered(&self) -> Result<()> {
        match (self.published().await, &self.print) {
            (Ok(None), None) => return Ok(()),
            (Ok(Some(now)), Some(print)) if now.publishes_as(print) => return Ok(()),
            (Err(Error::Unavailable { .. }), _) => return Ok(()),
            (Err(error), _) => return Err(error),
            (Ok(_), _) => {}
        }
        let cause = "it was altered, which may have hidden changes";
        Err(Error::unavailable("source: following the publication", cause))
    }

    /// The publication, without the tables.
    async fn published(&self) -> Result<Option<Print>> {
        let params: [crate::pg::Param<'_>; 2] = [&self.publication, &self.tables];
        let row = self.client.query_opt(&self.publication_statement, &params).await;
        let row = row.context("source: reading the publication")?;
        Ok(row.map(|row| Print {
            publication: row.get(0),
            feeds: self.feeds.iter().cloned().zip(row.get::<_, Vec<String>>(1)).collect(),
            tables: BTreeMap::new(),
        }))
    }

    /// Publication and tables as they are now.
    ///
    /// # Errors
    /// The source is away.
    pub async fn now(&self) -> Result<Option<Print>> {
        let tables = self.catalog().await?;
        Ok(self.published().await?.map(|print| Print { tables, ..print }))
    }

    /// What the alterations between what was stored and `now` may have hidden.
    ///
    /// # Errors
    /// The source is away.
    pub async fn altered(&self, stored: &str, now: Option<&Print>) -> Result<Altered> {
        let Some(now) = now else { return Ok(Altered::Everything) };
        let Some(before) = Print::read(stored) else {
            let is_same = now.is_as_in_words(stored);
            return Ok(if is_same { Altered::Nothing } else { Altered::Everything });
        };
        if before.publication != now.publication {
            return Ok(Altered::Everything);
        }
        let mut found: BTreeMap<&String, AlteredFeed> = BTreeMap::new();
        for (name, table) in &now.tables {
            let Some(before) = before.tables.get(name) else { continue };
            if let Some(altered) = self.difference(name, before, table).await? {
                found.insert(name, altered);
            }
        }
        for name in now.republished_since(&before) {
            let why = "its entry of the publication was altered".to_owned();
            let altered = AlteredFeed { name: name.clone(), why, truncated: false };
            found.entry(name).or_insert(altered);
        }
        if found.is_empty() {
            return Ok(Altered::Nothing);
        }
        Ok(Altered::Feeds(found.into_values().collect()))
    }

    async fn difference(
        &self,
        name: &str,
        before: &Table,
        now: &Table,
    ) -> Result<Option<AlteredFeed>> {
        let mut found = now.since(before);
        if found.is_none() {
            return Ok(None);
        }
        let looked_at: Vec<u32> = found.added.iter().chain(&found.rewritten).copied().collect();
        let empty = self.empty(&looked_at).await?;
        if found.added.iter().any(|oid| !empty.contains(oid)) {
            found.reasons.push("a part came with rows");
        }
        if found.reasons.is_empty() {
            return Ok(None);
        }
        let truncated = found.rewritten.iter().any(|oid| empty.contains(oid));
        if truncated {
            found.reasons.push("it was truncated, or a part of it");
        }
        let why = found.reasons.join(", ");
        Ok(Some(AlteredFeed { name: name.to_owned(), why, truncated }))
    }

    /// Those of these tables that have no block. One that somebody has locked is not waited for.
    async fn empty(&self, oids: &[u32]) -> Result<Vec<u32>> {
        if oids.is_empty() {
            return Ok(Vec::new());
        }
        let sql = "select o from unnest($1::oid[]) as o \
                   where coalesce(pg_relation_size(o), 0) = 0";
        let limited = "set lock_timeout = '1s'";
        self.client.batch_execute(limited).await.context(READING)?;
        let found = self.client.query(sql, &[&oids]).await;
        self.client.batch_execute("set lock_timeout = 0").await.context(READING)?;
        match found {
            Ok(rows) => Ok(rows.iter().map(|row| row.get(0)).collect()),
            Err(error) if error.code() == Some(&SqlState::LOCK_NOT_AVAILABLE) => Ok(Vec::new()),
            Err(error) => Err(error).context(READING),
        }
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
            tables: BTreeMap::new(),
        };
        let before = print("1 2", &[("a", "3/4"), ("b", "5/6")]);
        let check = |now: &Print, expected: &[&str]| {
            let found: Vec<&String> = now.republished_since(&before).collect();
            assert_eq!(found, expected, "{now:?}");
        };
        check(&print("1 2", &[("a", "3/4"), ("b", "5/6")]), &[]);
        check(&print("1 2", &[("a", "3/4")]), &[]);
        check(&print("1 2", &[("a", "3/4"), ("c", "7/8")]), &[]);
        check(&print("1 2", &[("a", "3/4"), ("b", "9/9")]), &["b"]);
        assert_eq!(Print::read(&before.stored().unwrap()).unwrap(), before);
        // Without tables, as an earlier version stored it.
        let earlier = r#"{"publication":"1 2","feeds":{"a":"3/4","b":"5/6"}}"#;
        assert_eq!(Print::read(earlier).unwrap(), before);
        // In words, as one before that did.
        let check = |now: &Print, stored: &str, expected: bool| {
            assert_eq!(now.is_as_in_words(stored), expected, "{now:?} {stored}");
        };
        check(&before, "1 2 3/4 5/6", true);
        check(&before, "1 2 3/4 5/7", false);
        check(&before, "1 3 3/4 5/6", false);
        check(&print("1 2 8/9", &[("a", ""), ("b", "")]), "1 2 8/9", true);
        check(&print("1 2 8/9", &[("a", ""), ("b", "")]), "1 2 8/10", false);
    }
}
