//! Indexes of the columns that rows are looked up by.

use super::{How, note, run};
use crate::config::{TableName, quote_identifier};
use crate::error::{Context, Result};
use crate::pg::Client;

/// Bytes of a table that is indexed while its writers wait, which is a moment. In a larger one they go on: that takes longer, and
/// waits for every transaction that was open when it began.
const INDEXED_AT_ONCE: i64 = 8 * 1024 * 1024;

/// The daemon looks rows up by these columns; without an index each look-up would read the whole table.
pub(super) async fn index(
    client: &Client,
    name: &TableName,
    column: &str,
    context: &str,
    how: How,
) -> Result<Option<String>> {
    let found = client
        .query_opt(
            "select 1 from pg_index i join pg_attribute a \
             on a.attrelid = i.indrelid and a.attnum = i.indkey[0] \
             where i.indrelid = to_regclass($1) and a.attname = $2 and i.indpred is null and i.indisvalid limit 1",
            &[&name.quoted(), &column],
        )
        .await
        .context(context)?;
    if found.is_some() {
        return Ok(None);
    }
    let (table, of) = (name.quoted(), quote_identifier(column));
    if how == How::Copies {
        run(client, &format!("create index on {table} ({of})"), context).await?;
        return Ok(None);
    }
    let index = index_name(&name.name, column);
    let quoted = format!("{}.{}", quote_identifier(&name.schema), quote_identifier(&index));
    // One that was interrupted is there and of no use.
    run(client, &format!("drop index if exists {quoted}"), context).await?;
    note(client, how, "index", name, &index).await?;
    let size = client.query_one("select pg_relation_size(to_regclass($1))", &[&table]).await;
    let is_large = size.context(context)?.get::<_, Option<i64>>(0) > Some(INDEXED_AT_ONCE);
    let concurrently = if is_large { "concurrently" } else { "" };
    let index = quote_identifier(&index);
    run(client, &format!("create index {concurrently} {index} on {table} ({of})"), context).await?;
    Ok(Some(format!("created an index on {name} ({column})")))
}

/// A name of the daemon's own, which fits.
fn index_name(table: &str, column: &str) -> String {
    let name = format!("tributary_{table}_{column}");
    if name.len() <= 63 {
        return name;
    }
    let digest = crate::digest::uuid_v5(&crate::rules::NAMESPACE, name.as_bytes()).simple();
    format!("tributary_{digest}")
}
