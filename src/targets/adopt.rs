//! Existing transactions that carry the provider id of a payment (SPEC §5.2).

use std::collections::{BTreeSet, HashMap};

use uuid::Uuid;

use super::catalog::Tables;
use crate::engine::Feeds;
use crate::engine::adopt::{Candidate, MOST_CANDIDATES, Wanted};
use crate::error::Result;
use crate::facts::{Feed, FeedKind, SourceKey};
use crate::pg::Tx;

/// The candidates of each provider id, in the order of preference: at most one more than [`MOST_CANDIDATES`].
///
/// # Errors
/// Those of the target.
pub async fn candidates(
    tx: &Tx,
    tables: &Tables,
    feeds: &Feeds,
    wanted: &[Wanted],
) -> Result<HashMap<String, Vec<Candidate>>> {
    let mut found: HashMap<String, Vec<Candidate>> = HashMap::new();
    let Some(sql) = tables.transactions_by_provider.as_deref().filter(|_| !wanted.is_empty())
    else {
        return Ok(found);
    };
    let ids: BTreeSet<&str> = wanted.iter().map(|one| one.provider_id.as_str()).collect();
    let ids: Vec<&str> = ids.into_iter().collect();
    let primary = feeds.all().find(|feed| feed.info.primary && feed.info.kind == FeedKind::Payment);
    let primary = primary.map(|feed| feed.info.feed.number());
    let limit = i64::try_from(MOST_CANDIDATES + 1).unwrap_or(i64::MAX);
    let what = "target: looking up transactions";
    for row in tx.query(what, sql, &[&ids, &primary, &limit]).await? {
        let at = usize::try_from(row.get::<_, i64>(0) - 1).unwrap_or(usize::MAX);
        let Some(provider_id) = ids.get(at) else { continue };
        let source = row.get::<_, Option<String>>(3).zip(row.get::<_, Option<String>>(4));
        let holder = row.get::<_, Option<i16>>(5).and_then(Feed::from_number);
        let holder = holder.zip(row.get::<_, Option<String>>(6));
        let is_stored: bool = row.get(7);
        found.entry((*provider_id).to_owned()).or_default().push(Candidate {
            id: row.get::<_, Uuid>(1),
            provider: row.get(2),
            source,
            holder: holder.map(|(feed, key)| ((feed, SourceKey(key)), is_stored)),
            is_a_key: row.get(8),
        });
    }
    Ok(found)
}
