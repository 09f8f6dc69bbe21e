//! The rows of one owner as unify takes them, without writing: for `explain`.

use std::collections::HashMap;
use std::sync::Arc;

use jiff::civil;

use super::fetch::fact_of;
use crate::config::Config;
use crate::engine::people::{self, OwnedRow};
use crate::engine::{ChunkSnapshots, Env, FeedEntry, FeedLayout, Feeds};
use crate::error::{Error, Result};
use crate::facts::Column;
use crate::pg::{Db, Tx};
use crate::source::layout::assemble;
use crate::store;
use crate::unify::{Context, Group};

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
    let env = Env {
        rules: Arc::new(config.rules.clone()),
        feeds: Arc::new(stored_feeds(db, config).await?),
        decisions: store::alias::row_decisions(db).await?,
        dismissals: HashMap::new(),
        chunks: ChunkSnapshots::default(),
        generation: 0,
        today,
    };
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
