//! Whether the backup that precedes the next backfill could be taken: for `check` (SPEC §9).

use super::tables;
use super::take::{self, FIRST};
use crate::config::Config;
use crate::error::{Context, Result};
use crate::pg::{Client, Db};
use crate::source::Finding;

const NAME: &str = "target.backup";
const WHAT: &str = "target: looking at the backup";

/// The point about it. What would be done first is done in a transaction that is rolled back.
///
/// # Errors
/// The target is away.
pub(crate) async fn finding(target: Client, config: &Config) -> Result<Finding> {
    let db = Db::new(target);
    if !config.backup.enabled {
        return Ok(Finding::passed(NAME, "backups are switched off: there is no way back"));
    }
    let (is_migrated, due) = due(&db).await?;
    let Some(reason) = due else {
        return Ok(Finding::passed(NAME, "no backup is due"));
    };
    let (found, has_rows) = present(&db, config).await?;
    if reason == FIRST && !has_rows {
        return Ok(Finding::passed(NAME, "the target tables are empty: no backup is taken"));
    }
    db.batch(WHAT, "begin; set local lock_timeout = '2s'").await?;
    let tried = take::try_out(&config.backup, &db, &found, is_migrated).await;
    db.batch(WHAT, "rollback").await?;
    Finding::of(NAME, "a backup of the target tables can be taken", tried)
}

/// Whether backups are recorded, and before what one is due: before the first backfill in a target that was never migrated.
async fn due(db: &Db) -> Result<(bool, Option<String>)> {
    let sql = "select exists (select from pg_class where relnamespace = to_regnamespace('tributary') and relname = 'backup') \
               and has_schema_privilege(to_regnamespace('tributary'), 'usage')";
    let row = db.client().query_one(sql, &[]).await.context(WHAT)?;
    if row.get::<_, Option<bool>>(0) != Some(true) {
        return Ok((false, Some(FIRST.to_owned())));
    }
    let rows = db.query(WHAT, "select backup_due from tributary.state", &[]).await?;
    Ok((true, rows.first().and_then(|row| row.get(0))))
}

/// The target tables that are there, quoted, and whether they hold rows. Courses come from the configuration and do not count.
async fn present(db: &Db, config: &Config) -> Result<(Vec<String>, bool)> {
    let (mut found, mut has_rows) = (Vec::new(), false);
    for (role, table) in tables::written(config) {
        let there = db.query(WHAT, "select to_regclass($1) is not null", &[&table]).await?;
        if !there.first().is_some_and(|row| row.get(0)) {
            continue;
        }
        if role != "courses" && !has_rows {
            let sql = format!("select exists (select from {table})");
            let rows = db.query(WHAT, &sql, &[]).await?;
            has_rows = rows.first().is_some_and(|row| row.get(0));
        }
        found.push(table);
    }
    Ok((found, has_rows))
}
