//! The rows of one owner as unify takes them, without writing: for `explain`.

use std::collections::HashMap;
use std::sync::Arc;

use jiff::civil;

use super::fetch::fact_of;
use crate::config::Config;
use crate::engine::people::{self, OwnedRow};
use crate::engine::{ChunkSnapshots, Env, Layouts};
use crate::error::{Error, Result};
use crate::facts::{Column, ColumnKind, Feed, Layout};
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
        layouts: Arc::new(stored_layouts(db, config).await?),
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

/// The layouts under which rows are stored: no session on the source is needed.
async fn stored_layouts(db: &Db, config: &Config) -> Result<Layouts> {
    let rows = db
        .query("target: reading the feeds", "select number, columns from tributary.feed", &[])
        .await?;
    let mut columns: HashMap<i16, Vec<Column>> = HashMap::new();
    for row in &rows {
        let stored: Option<serde_json::Value> = row.get(1);
        let listed = stored.as_ref().and_then(|stored| stored.as_array()).into_iter().flatten();
        let column = |column: &serde_json::Value| {
            let name = column.get(0)?.as_str()?.to_owned();
            Some(Column { name, kind: ColumnKind::parse(column.get(1)?.as_str()?)? })
        };
        columns.insert(row.get(0), listed.filter_map(column).collect());
    }
    let none = Vec::new();
    let of = |feed: Feed| columns.get(&feed.number()).unwrap_or(&none).as_slice();
    let refused = |_| {
        Error::refused(
            "the rows are not stored with the columns of this configuration yet",
            "let `tributary run` read them first, with this configuration",
        )
    };
    Ok(Layouts {
        xendit: assemble(&config.source.xendit, of(Feed::Xendit)).map_err(refused)?,
        systemeio: assemble(&config.source.systemeio, of(Feed::Systemeio)).map_err(refused)?,
    })
}

/// The columns of a layout as `tributary.feed` keeps them: name, kind, and whether the value is stored.
pub(super) fn stored_columns<F>(
    layout: &Layout<F>,
    is_left_out: impl Fn(usize) -> bool,
) -> serde_json::Value {
    let columns = layout.columns.iter().enumerate().map(|(index, column)| {
        serde_json::json!([column.name, column.kind.as_str(), !is_left_out(index)])
    });
    serde_json::Value::Array(columns.collect())
}
