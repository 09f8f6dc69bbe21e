//! Source rows against stored rows, feed by feed, in both directions.

use std::collections::{HashMap, HashSet};

use super::Verifier;
use super::queue::{Candidate, Seen};
use super::report::{Difference, Field, Problem, Table, Touch};
use crate::config::TableName;
use crate::engine::rows::RowWrite;
use crate::engine::versions::{Version, row_version};
use crate::engine::{RowId, raw};
use crate::error::{Error, Result};
use crate::facts::{Column, ColumnKind, Columns, Feed, RawRow, SourceKey, source_key};
use crate::pg::Tx;
use crate::source::snapshot::{self, Place};
use crate::store;
use crate::store::row::FullRow;

/// Rows looked at together.
pub(super) const PAGE: i64 = 1_000;
/// Keys of the source read in one chunk, as far as the planner's statistics tell.
const KEYS_PER_CHUNK: u64 = 10_000;
/// How often a table that is rewritten while its keys are read is read again.
const READINGS: usize = 3;
/// The system column that names the version of a row: it changes with every update.
const VERSION: &str = "xmin";
/// Most bytes of its text.
const VERSION_BYTES: usize = 10;

/// A row of the source, and which version of it.
pub(super) struct SourceRow {
    pub(super) row: RawRow,
    pub(super) version: String,
}

impl Verifier<'_> {
    /// Compares the rows of all feeds, until nothing waits to be looked at again.
    pub(super) async fn rows(&mut self) -> Result<()> {
        self.applier.load_decisions().await?;
        let feeds: Vec<Feed> = self.applier.env.feeds.configured().collect();
        for feed in feeds {
            self.unstored(feed).await?;
            self.stored(feed).await?;
        }
        self.settle_all().await
    }

    /// Looks for rows of the source that are not stored: their keys alone are read.
    async fn unstored(&mut self, feed: Feed) -> Result<()> {
        let table = self.table(feed)?.clone();
        for _ in 0..READINGS {
            let plan = snapshot::plan(&self.source, &table).await?;
            let rows_per_block = (plan.rows_estimated / plan.blocks.max(1)).max(1);
            let blocks = (KEYS_PER_CHUNK / rows_per_block).max(1);
            let mut at = Place::default();
            while at.block < plan.blocks {
                let to = (at.block + blocks).min(plan.blocks);
                at = self.unstored_chunk(feed, &table, at, to).await?;
            }
            // A rewrite of the table renumbers its blocks.
            if snapshot::filenode(&self.source, &table).await? == plan.filenode {
                break;
            }
        }
        Ok(())
    }

    async fn unstored_chunk(
        &mut self,
        feed: Feed,
        table: &TableName,
        from: Place,
        to: u64,
    ) -> Result<Place> {
        let columns = self.applier.env.feeds.get(feed).columns().clone();
        let key = columns.key.iter().filter_map(|index| columns.list.get(*index).cloned());
        let list: Vec<Column> = key.collect();
        let places = (0..list.len()).collect();
        let keys = Columns::new(list, places);
        let chunk = snapshot::read_chunk(&self.source, table, &keys, from, to).await?;
        let lsn = self.source_lsn().await?;
        let rows: HashMap<SourceKey, RawRow> =
            chunk.rows.into_iter().map(|row| (source_key(&row, &keys), row)).collect();
        let all: Vec<&str> = rows.keys().map(SourceKey::as_str).collect();
        let sql = "select key from tributary.source_row where feed = $1 and key = any($2)";
        let what = "target: looking up stored rows";
        let known = self.db().query(what, sql, &[&feed.number(), &all]).await?;
        let known: HashSet<&str> = known.iter().map(|row| row.get(0)).collect();
        for (source_key, row) in &rows {
            if known.contains(source_key.as_str()) {
                continue;
            }
            let mut ask = RawRow { values: vec![None; columns.list.len()] };
            for (&index, value) in columns.key.iter().zip(&row.values) {
                if let Some(place) = ask.values.get_mut(index) {
                    place.clone_from(value);
                }
            }
            let id = (feed, source_key.clone());
            self.waiting.push(Candidate { id, ask, seen: Seen::Key, lsn, tries: 0 });
        }
        self.report.checked.source_rows += rows.len() as u64;
        (self.show)("source rows", self.report.checked.source_rows);
        self.settle_some().await?;
        self.rest().await;
        Ok(chunk.next)
    }

    /// Compares stored rows with the rows that the source has under their keys.
    async fn stored(&mut self, feed: Feed) -> Result<()> {
        let mut after = String::new();
        let mut done = 0;
        loop {
            let page = store::row::page(&self.at_once(), feed, &after, PAGE).await?;
            let Some(last) = page.last() else { return Ok(()) };
            after.clone_from(&last.id.1.0);
            done += page.len() as u64;
            (self.show)("stored rows", done);
            let mut asks = HashMap::with_capacity(page.len());
            for row in &page {
                match self.ask_for(row) {
                    Some(ask) => drop(asks.insert(row.id.clone(), ask)),
                    None => self.record_unreadable(row),
                }
            }
            let found = self.read(feed, asks.values()).await?;
            let lsn = self.source_lsn().await?;
            let expected = self.expected_rows(&self.at_once(), feed, &found).await?;
            for row in page {
                let Some(ask) = asks.remove(&row.id) else { continue };
                self.report.incomplete += u64::from(!row.row.complete);
                let fields = self.compare(expected.get(&row.id), Some(&row));
                if fields.is_some() {
                    let version = found.get(&row.id.1).map(|source| source.version.clone());
                    let seen = Seen::Version(version);
                    self.waiting.push(Candidate { id: row.id, ask, seen, lsn, tries: 0 });
                }
            }
            self.settle_some().await?;
            self.rest().await;
        }
    }

    fn table(&self, feed: Feed) -> Result<&TableName> {
        let name = self.applier.env.feeds.name(feed);
        let feed = self.config.source.feeds.iter().find(|feed| feed.name == name);
        let unknown = || Error::failed("verifying a feed", "it is not configured");
        feed.map(|feed| &feed.table).ok_or_else(unknown)
    }

    /// The row with its key, to ask the source for it: by the key itself, which the stored values may contradict.
    fn ask_for(&self, row: &FullRow) -> Option<RawRow> {
        let feeds = &self.applier.env.feeds;
        let stored = || raw::decode(&row.raw, feeds.shape(row.id.0)).map(|values| values.row);
        feeds.row_of_key(row.id.0, &row.id.1).or_else(stored)
    }

    /// The rows that the source has under these keys now, by source key.
    pub(super) async fn read(
        &self,
        feed: Feed,
        asks: impl Iterator<Item = &RawRow>,
    ) -> Result<HashMap<SourceKey, SourceRow>> {
        let asks: Vec<RawRow> = asks.cloned().collect();
        let columns = self.applier.env.feeds.get(feed).columns();
        let mut versioned = columns.clone();
        versioned.list.push(Column { name: VERSION.to_owned(), kind: ColumnKind::Text });
        // The version is no value of the row.
        versioned.max_bytes += VERSION_BYTES;
        let table = self.table(feed)?;
        let rows = snapshot::read_rows(&self.source, table, &versioned, &asks).await?;
        let source = |mut row: RawRow| {
            let version = row.values.pop().flatten().unwrap_or_default();
            columns.limit(&mut row);
            (source_key(&row, columns), SourceRow { row, version })
        };
        Ok(rows.into_iter().map(source).collect())
    }

    /// What should be stored of these rows.
    pub(super) async fn expected_rows(
        &self,
        tx: &Tx,
        feed: Feed,
        found: &HashMap<SourceKey, SourceRow>,
    ) -> Result<HashMap<RowId, RowWrite>> {
        let versions = found.iter().map(|(key, source)| self.version(feed, key, &source.row));
        self.applier.placed(tx, versions.collect()).await
    }

    /// The row rules applied to a row of the source.
    pub(super) fn version(&self, feed: Feed, key: &SourceKey, row: &RawRow) -> Version {
        let id = (feed, key.clone());
        let row = Some(row_version(&id, row, &[], &self.applier.env));
        Version { tx: 0, id, previous: None, row }
    }

    /// The fields in which a stored row is not what the source says; `None`: it is. A row with a value that is not known
    /// is reported by itself.
    pub(super) fn compare(
        &self,
        expected: Option<&RowWrite>,
        stored: Option<&FullRow>,
    ) -> Option<(Problem, Vec<Field>)> {
        let row = || vec![Field::named("row")];
        let (expected, stored) = match (expected, stored) {
            (None, None) => return None,
            (None, Some(_)) => return Some((Problem::Unexpected, row())),
            (Some(_), None) => return Some((Problem::Missing, row())),
            (Some(_), Some(stored)) if !stored.row.complete => return None,
            (Some(expected), Some(stored)) => (expected, stored),
        };
        let mut fields = self.values_that_differ(expected, stored);
        let (own, should) = (&stored.row, &expected.row);
        if fields.is_empty() && own.digest != should.digest {
            fields.push(Field::named("digest"));
        }
        let mut text = |name: &str, found: Option<&str>, expected: Option<&str>| {
            if found != expected {
                let [found, expected] = [found, expected].map(|text| text.map(str::to_owned));
                fields.push(Field { name: name.to_owned(), found, expected });
            }
        };
        text("owner", Some(&own.owner), Some(&should.owner));
        let email = |row: &crate::engine::StoredRow| row.email.as_ref().map(ToString::to_string);
        text("email_key", email(own).as_deref(), email(should).as_deref());
        text("shared_id", own.shared_id.as_deref(), should.shared_id.as_deref());
        // A row is marked only once it shares its id with others.
        let member = expected.fact.as_ref().map(crate::engine::Fact::member);
        if own.member.is_some() && own.member != member {
            fields.push(Field::named("member"));
        }
        (!fields.is_empty()).then_some((Problem::Differs, fields))
    }

    fn values_that_differ(&self, expected: &RowWrite, stored: &FullRow) -> Vec<Field> {
        if expected.raw == stored.raw {
            return Vec::new();
        }
        let feeds = &self.applier.env.feeds;
        let shape = feeds.shape(stored.id.0);
        let decoded = raw::decode(&stored.raw, shape).zip(raw::decode(&expected.raw, shape));
        let Some((found, should)) = decoded else { return vec![Field::named("raw")] };
        let columns = &feeds.get(stored.id.0).columns().list;
        let values = found.row.values.into_iter().zip(should.row.values);
        let fields = columns.iter().zip(values).filter(|(_, (found, should))| found != should);
        let fields: Vec<Field> = fields
            .map(|(column, (found, expected))| Field { name: column.name.clone(), found, expected })
            .collect();
        if fields.is_empty() { vec![Field::named("raw")] } else { fields }
    }

    /// A row whose key tells nothing and whose values cannot be read: there is nothing to ask the source for.
    fn record_unreadable(&mut self, row: &FullRow) {
        let found = (Problem::Differs, vec![Field::named("raw")]);
        self.record_row(&row.id, found, None, Some(row));
    }

    /// A row that differs for good.
    pub(super) fn record_row(
        &mut self,
        id: &RowId,
        (problem, fields): (Problem, Vec<Field>),
        expected: Option<&RowWrite>,
        stored: Option<&FullRow>,
    ) {
        self.affected.row(id.clone());
        let rows = expected.map(|row| &row.row).into_iter().chain(stored.map(|row| &row.row));
        for row in rows {
            self.affected.owner(&row.owner);
            if let Some(value) = &row.shared_id {
                self.affect_shared(id.0, value);
            }
        }
        let name = self.applier.env.feeds.discreet_row(id);
        let difference = Difference {
            table: Table::SourceRows,
            id: Some(name.clone()),
            source_row: Some(name),
            problem,
            fields,
            touch: Touch::Row(id.clone()),
        };
        self.report.add(difference, self.options);
    }

    fn affect_shared(&mut self, feed: Feed, value: &str) {
        if self.affected.has_too_many_rows() {
            return;
        }
        self.affected.scopes.insert(self.scope_of(feed, value));
        self.affected.shared.insert((feed, value.to_owned()));
    }
}
