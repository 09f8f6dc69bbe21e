//! Stored rows as unify takes them, found by owner, address or name, without writing: for `explain` and `conflicts show`.

use std::collections::HashMap;
use std::sync::Arc;

use jiff::civil;
use serde::Serialize;
use uuid::Uuid;

use super::fetch::fact_of;
use crate::config::Config;
use crate::engine::people::{self, OwnedRow};
use crate::engine::{
    Env, Fact, FeedEntry, FeedLayout, Feeds, Why, key_digest, parse_discreet_row, raw,
};
use crate::error::{Error, Result};
use crate::facts::{Column, Feed, SourceKey};
use crate::pg::{Db, Tx};
use crate::source::layout::assemble;
use crate::store;
use crate::unify::{Context, Group};

/// Owners or keys in one look at the stored rows.
const PAGE: i64 = 5_000;

/// What reading facts needs, as the rows are stored.
async fn env(db: &Db, config: &Config, today: civil::Date) -> Result<Env> {
    let feeds = Arc::new(stored_feeds(db, config).await?);
    let decisions = store::alias::row_decisions(db).await?;
    Ok(Env { decisions, today, ..Env::new(config.rules.clone(), feeds) })
}

/// The facts of an owner and what must be known besides; `None` where it has no row. Inside the open transaction of
/// the session.
///
/// # Errors
/// Those of the target; a refusal where no daemon has stored rows yet.
pub async fn read_owner(
    db: &Arc<Db>,
    config: &Config,
    owner: &str,
    today: civil::Date,
) -> Result<Option<(Group, Context)>> {
    let tx = Tx::on(db);
    let env = env(db, config, today).await?;
    let owners = [owner.to_owned()];
    let rows = store::row::by_owner(&tx, &owners).await?;
    if rows.is_empty() {
        return Ok(None);
    }
    let holders = store::shared::holders(&tx, &owners).await?;
    let owned = rows.into_iter().map(|row| {
        let fact = fact_of(&row, &env);
        OwnedRow { id: row.id, fact, outcome: None }
    });
    Ok(Some(people::group(owner, owned.collect(), &holders, &env)))
}

/// The transactions that the payments of an owner adopted (SPEC §5.2), by source row. Inside the open transaction of the
/// session.
///
/// # Errors
/// As [`read_owner`].
pub async fn adopted_transactions(
    db: &Arc<Db>,
    config: &Config,
    owner: &str,
) -> Result<HashMap<String, Uuid>> {
    let feeds = stored_feeds(db, config).await?;
    let adopted = store::adopted::among(&Tx::on(db), &[owner.to_owned()], &[]).await?;
    Ok(adopted.into_iter().map(|(row, id)| (feeds.source_row(&row), id)).collect())
}

/// A row that the configuration leaves out, and why.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct LeftOutRow {
    /// Such as `xendit:4f…`.
    pub source_row: String,
    /// Which part of the configuration.
    pub why: String,
}

/// The rows of these addresses that the configuration leaves out. They are stored under no person, so that all of them
/// are looked at. Inside the open transaction of the session.
///
/// # Errors
/// As [`read_owner`].
pub async fn left_out_rows(
    db: &Arc<Db>,
    config: &Config,
    addresses: &[String],
    today: civil::Date,
) -> Result<Vec<LeftOutRow>> {
    let tx = Tx::on(db);
    let env = env(db, config, today).await?;
    let (mut found, mut after) = (Vec::new(), String::new());
    loop {
        let sql = include_str!("sql/next_left_out.sql");
        let rows = tx.query("target: reading owners", sql, &[&after, &PAGE]).await?;
        let owners: Vec<String> = rows.iter().map(|row| row.get(0)).collect();
        let Some(last) = owners.last() else { break };
        after.clone_from(last);
        for row in store::row::by_owner(&tx, &owners).await? {
            let Some(values) = raw::decode(&row.raw, env.feeds.shape(row.id.0)) else { continue };
            let address = Fact::address(&row.id, &values.row, &env);
            if !address.is_some_and(|key| addresses.iter().any(|known| known == key.as_str())) {
                continue;
            }
            if let Fact::LeftOut(left_out) = Fact::derive(&row.id, &values.row, &env) {
                let source_row = env.feeds.source_row(&row.id);
                let why = why(&left_out.why, &left_out.feed.name);
                found.push(LeftOutRow { source_row, why });
            }
        }
    }
    found.sort_by(|a, b| a.source_row.cmp(&b.source_row));
    Ok(found)
}

fn why(why: &Why, feed: &str) -> String {
    match why {
        Why::Skipped => format!("skip of [feeds.{feed}]"),
        Why::Excluded(pattern) => format!("[rules.exclude] emails: {pattern}"),
        Why::Removed => format!("there is no [feeds.{feed}] any more"),
    }
}

/// A stored row by its name, or by the form that log lines have (P14): its name, and whose it is. `None`: the text is
/// neither, as it names no feed.
///
/// # Errors
/// Those of the target; a refusal where there is no such row.
pub async fn find_row(db: &Db, config: &Config, text: &str) -> Result<Option<(String, String)>> {
    let feeds = stored_feeds(db, config).await?;
    let found = match parse_discreet_row(text) {
        Some((name, digest)) => {
            let Some(entry) = feeds.named(name) else { return Ok(None) };
            row_of_digest(db, entry.info.feed, &digest).await?
        }
        None => {
            let Some((feed, key)) = feeds.row_id(text.trim()) else { return Ok(None) };
            let sql = "select key, owner from tributary.source_row where feed = $1 and key = $2";
            let what = "target: looking up a stored row";
            let rows = db.query(what, sql, &[&feed.number(), &key.0]).await?;
            rows.first().map(|row| (feed, SourceKey(row.get(0)), row.get(1)))
        }
    };
    let Some((feed, key, owner)) = found else {
        return Err(Error::refused(
            "the source has no such row",
            "write <feed>:<key>, or <feed>:#<digest> as log lines have it",
        ));
    };
    Ok(Some((feeds.source_row(&(feed, key)), owner)))
}

/// Looks at every key of the feed: a digest is asked for rarely, and by people.
async fn row_of_digest(
    db: &Db,
    feed: Feed,
    digest: &str,
) -> Result<Option<(Feed, SourceKey, String)>> {
    let sql = "select key, owner from tributary.source_row where feed = $1 and key > $2 \
               order by feed, key limit $3";
    let mut after = String::new();
    loop {
        let rows = db.query("target: reading keys", sql, &[&feed.number(), &after, &PAGE]).await?;
        for row in &rows {
            let key = SourceKey(row.get(0));
            if key_digest(&key) == digest {
                return Ok(Some((feed, key, row.get(1))));
            }
        }
        let Some(last) = rows.last() else { return Ok(None) };
        after = last.get(0);
    }
}

/// The feeds with the layouts under which their rows are stored: no session on the source is needed.
pub(crate) async fn stored_feeds(db: &Db, config: &Config) -> Result<Feeds> {
    let recorded = store::feed::recorded(db.client()).await?;
    let refused = |_| {
        Error::refused(
            "the rows are not stored with the columns of this configuration yet",
            "let `tributary run` read them first, with this configuration",
        )
    };
    let mut entries = Vec::new();
    for info in store::feed::numbered(&recorded, &config.source.feeds)? {
        let configured = config.source.feeds.iter().find(|feed| feed.name == info.name);
        let stored = recorded.iter().find(|known| known.feed == info.feed);
        let columns: Vec<Column> = stored
            .and_then(|stored| stored.columns.as_ref())
            .map(|columns| columns.iter().map(|(column, _)| column.clone()).collect())
            .unwrap_or_default();
        let layout = match configured {
            Some(feed) => assemble(feed, &info, &columns).map_err(refused)?,
            None => FeedLayout::Removed,
        };
        entries.push(FeedEntry { info, layout });
    }
    Ok(Feeds::new(entries))
}
