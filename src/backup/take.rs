//! Taking copies.

use std::sync::Arc;

use serde_json::json;
use tokio_postgres::error::SqlState;

use super::{Backup, Copied, OWN, OfImport, Sequence, copy, list, tables};
use crate::apply::Applier;
use crate::config::{Backups, Config, quote_identifier};
use crate::error::{Error, Result};
use crate::failpoint;
use crate::pg::{Db, Param};
use crate::store::epoch::fence;
use crate::store::operation_log::{self, Finish, Operation, Outcome};

/// What is recorded as the reason of the backup before the first backfill.
pub(super) const FIRST: &str = "first backfill";

const WHAT: &str = "target: taking a backup";

/// The statements of one transaction read every row once and have no narrow look-up.
const WIDE: &str = "set local synchronous_commit = on; set local enable_seqscan = on; \
                    set local enable_sort = on; set local row_security = off";

/// Takes the backup that is due before the scheduled backfill, if one is, and returns its name.
///
/// # Errors
/// A refusal where there is no room or no right to take it; those of the target.
pub async fn take_if_due(config: &Config, applier: &Applier, epoch: i64) -> Result<Option<String>> {
    let db = &applier.db;
    let sql = "select s.backup_due, b.generation from tributary.state s \
               left join tributary.backfill b on b.phase <> 'done'";
    let rows = db.query(WHAT, sql, &[]).await?;
    let due = rows.first().and_then(|row| Some((row.get::<_, Option<String>>(0)?, row.get(1))));
    let Some((reason, generation)) = due else {
        // Whatever was added was there before anything that a later backup is taken before.
        settle_added(db).await?;
        return Ok(None);
    };
    if !config.backup.enabled {
        tracing::warn!("backups are switched off: there is no way back from this backfill");
        return forget(db).await.map(|()| None);
    }
    if reason == FIRST && is_empty(config, db).await? {
        return forget(db).await.map(|()| None);
    }
    let started_at = jiff::Timestamp::now();
    let taken = take(config, db, epoch, &reason, generation).await;
    let end = match &taken {
        Ok(backup) => {
            let rows = backup.rows.unsigned_abs();
            Finish::new(Outcome::Done)
                .counted(rows, 0)
                .with(json!({ "run": backup.run, "reason": reason }))
        }
        Err(error) => Finish::failed(error),
    };
    let (client, operator) = (db.client(), &applier.operator);
    if taken.is_err() {
        db.batch(WHAT, "rollback").await?;
    }
    operation_log::record(client, operator, Operation::Backup, started_at, &end).await?;
    let backup = taken?;
    tracing::info!(run = backup.run, rows = backup.rows, "took a backup of the target tables");
    retain(&config.backup, db, false).await?;
    Ok(Some(backup.run))
}

async fn forget(db: &Db) -> Result<()> {
    db.execute(WHAT, "update tributary.state set backup_due = null", &[]).await?;
    settle_added(db).await
}

/// What was added and belongs to no backup stays.
async fn settle_added(db: &Db) -> Result<()> {
    db.execute(WHAT, "delete from tributary.added where run is null", &[]).await.map(drop)
}

/// Courses come from the configuration and do not count.
async fn is_empty(config: &Config, db: &Db) -> Result<bool> {
    for (role, table) in tables::written(config) {
        let sql = format!("select exists (select from {table})");
        let rows = db.query(WHAT, &sql, &[]).await?;
        if role != "courses" && rows.first().is_some_and(|row| row.get(0)) {
            return Ok(false);
        }
    }
    Ok(true)
}

/// A table to be copied.
pub(crate) struct OfTable {
    pub(crate) role: String,
    /// Quoted.
    pub(crate) table: String,
    /// The columns that identify a row.
    pub(crate) key: Vec<String>,
}

/// The copies to be taken.
pub(crate) struct Wanted<'w> {
    /// Before what.
    pub(crate) reason: &'w str,
    /// Of a backfill.
    pub(crate) generation: Option<i64>,
    /// Of an import.
    pub(crate) import: Option<OfImport>,
    /// Those that others refer to first.
    pub(crate) tables: Vec<OfTable>,
}

/// Takes the copies in one snapshot, and leaves its transaction open where it fails.
async fn take(
    config: &Config,
    db: &Arc<Db>,
    epoch: i64,
    reason: &str,
    generation: Option<i64>,
) -> Result<Backup> {
    let begin = format!("begin isolation level repeatable read; {}", fence(epoch));
    db.batch(WHAT, &begin).await?;
    // The snapshot may be older than a take-over that the fence waited for: that row was updated then, which is refused.
    let sql = "select from tributary.installation where epoch = $1 for share";
    if db.query(WHAT, sql, &[&epoch]).await?.is_empty() {
        return Err(Error::Superseded("it took over".into()));
    }
    let of_table = |(role, table): (&str, String)| OfTable {
        role: role.to_owned(),
        table,
        key: vec!["id".to_owned()],
    };
    let tables = tables::written(config).into_iter().map(of_table).collect();
    let wanted = Wanted { reason, generation, import: None, tables };
    let run = copies(&config.backup, db, &wanted).await?;
    let sql = "update tributary.added set run = $1 where run is null";
    db.execute(WHAT, sql, &[&run]).await?;
    forget(db).await?;
    failpoint::hit("backup-copied");
    db.batch(WHAT, "commit").await?;
    super::find(db, &run).await
}

/// Takes the copies inside the open transaction, which has one snapshot, and returns the name of the backup.
///
/// # Errors
/// A refusal where there is no room or no right to take it; those of the target.
pub(crate) async fn copies(backups: &Backups, db: &Db, wanted: &Wanted<'_>) -> Result<String> {
    db.batch(WHAT, WIDE).await?;
    let mut found = Vec::new();
    for table in &wanted.tables {
        found.push((table, tables::find(db, &table.table).await?));
    }
    let needed = found.iter().map(|(_, found)| found.bytes).sum();
    require_room(backups, db, needed, wanted.import.is_some()).await?;
    let run = new_run(db).await?;
    let schema = format!("tributary_backup_{run}");
    create_schema(db, &schema).await?;
    let mut copied = Vec::new();
    for (table, found) in found {
        let taken = copy_table(db, &schema, table, found.columns).await;
        copied.push(taken.map_err(|error| no_room(error, needed))?);
    }
    if let Some(import) = &wanted.import {
        for role in OWN {
            let taken = copy_own(db, &schema, role, &import.name).await;
            copied.push(taken.map_err(|error| no_room(error, needed))?);
        }
    }
    db.batch(WHAT, &include_str!("sql/close_to_others.sql").replace("{schema}", &schema)).await?;
    let (tables, import) = (json!(copied), wanted.import.as_ref().map(|import| json!(import)));
    let sql = "insert into tributary.backup (run, schema_name, reason, generation, tables, import) \
               values ($1, $2, $3, $4, $5, $6)";
    let params: [Param<'_>; 6] =
        [&run, &schema, &wanted.reason, &wanted.generation, &tables, &import];
    db.execute(WHAT, sql, &params).await?;
    Ok(run)
}

/// The time of its beginning, to the second; another one of the same second gets a number. Another installation may be
/// about to take one, whose schema is not to be seen yet: each holds a lock of its name until it commits.
async fn new_run(db: &Db) -> Result<String> {
    let sql = "select r.run, r.n from (select to_char(clock_timestamp() at time zone 'UTC', 'YYYYMMDD_HH24MISS') \
                   || case when n = 1 then '' else '_' || n end as run, n from generate_series($1::int, 1000) n) r \
               where not exists (select from tributary.backup b where b.run = r.run) \
               and to_regnamespace('tributary_backup_' || r.run) is null order by r.n limit 1";
    let lock = "select case when pg_try_advisory_xact_lock(hashtextextended('tributary_backup_' || $1::text, 0)) \
                    then to_regnamespace('tributary_backup_' || $1::text) is null else false end";
    let mut from = 1_i32;
    loop {
        let rows = db.query(WHAT, sql, &[&from]).await?;
        let Some(row) = rows.first() else { return Err(Error::failed(WHAT, "no name is free")) };
        let (run, number): (String, i32) = (row.get(0), row.get(1));
        let locked = db.query(WHAT, lock, &[&run]).await?;
        if locked.first().is_some_and(|row| row.get(0)) {
            return Ok(run);
        }
        from = number + 1;
    }
}

async fn create_schema(db: &Db, schema: &str) -> Result<()> {
    let sql = format!("create schema {}", quote_identifier(schema));
    db.batch(WHAT, &sql).await.map_err(|error| {
        if error.code() != Some(&SqlState::INSUFFICIENT_PRIVILEGE) {
            return error;
        }
        Error::refused(
            "the daemon's role may not create a schema for the backup",
            "run on the target: grant create on database <its database> to <the role of the target URL>; or set \
             backup.enabled = false, and there is no way back",
        )
    })
}

async fn copy_table(
    db: &Db,
    schema: &str,
    wanted: &OfTable,
    columns: Vec<String>,
) -> Result<Copied> {
    let OfTable { role, table, key } = wanted;
    let to = copy(schema, role);
    let from = tables::list("t", &columns);
    db.batch(WHAT, &format!("create table {to} as select {from} from {table} t")).await?;
    let (rows, checksum) = tables::checksum(db, table, &columns).await?;
    let copied = tables::checksum(db, &to, &columns).await?;
    if copied != (rows, checksum.clone()) {
        return Err(Error::failed(WHAT, format!("the copy of {table} is not what was copied")));
    }
    let keys: Vec<String> = key.iter().map(|name| quote_identifier(name)).collect();
    let index = format!("create index on {to} ({}); analyze {to}", keys.join(", "));
    db.batch(WHAT, &index).await?;
    let bytes = size(db, &to).await?;
    let sequences = sequences(db, table).await?;
    let (role, table, key) = (role.clone(), table.clone(), key.clone());
    Ok(Copied { role, table, columns, rows, bytes, checksum, key, sequences })
}

/// Where the sequences of a table's columns are, as far as this role may see it.
async fn sequences(db: &Db, table: &str) -> Result<Vec<Sequence>> {
    let sql = "select d.objid::regclass::text from pg_depend d join pg_class c on c.oid = d.objid and c.relkind = 'S' \
               where d.classid = 'pg_class'::regclass and d.refclassid = 'pg_class'::regclass \
               and d.refobjid = to_regclass($1) and d.deptype in ('a', 'i') \
               and case when c.relkind = 'S' then has_sequence_privilege(d.objid, 'select') else false end order by 1";
    let mut all = Vec::new();
    for row in db.query(WHAT, sql, &[&table]).await? {
        let name: String = row.get(0);
        let rows =
            db.query(WHAT, &format!("select last_value, is_called from {name}"), &[]).await?;
        let at = rows.first().map(|row| (row.get(0), row.get(1)));
        if let Some((last_value, is_called)) = at {
            all.push(Sequence { name, last_value, is_called });
        }
    }
    Ok(all)
}

/// What an import keeps of itself: the rows of its name.
async fn copy_own(db: &Db, schema: &str, role: &str, import: &str) -> Result<Copied> {
    let (to, table) = (copy(schema, role), format!("tributary.{role}"));
    let columns = tables::find_own(db, role).await?;
    db.batch(WHAT, &format!("create table {to} (like {table})")).await?;
    let sql = format!("insert into {to} select * from {table} where import = $1");
    db.execute(WHAT, &sql, &[&import]).await?;
    let (rows, checksum) = tables::checksum(db, &to, &columns).await?;
    let bytes = size(db, &to).await?;
    let key: &[&str] = match role {
        "id_map" => &["table_name", "old_id"],
        "import_run" => &["run"],
        _ => &["run", "load", "record", "element"],
    };
    let (role, key) = (role.to_owned(), key.iter().map(|&name| name.to_owned()).collect());
    Ok(Copied { role, table, columns, rows, bytes, checksum, key, sequences: Vec::new() })
}

async fn size(db: &Db, table: &str) -> Result<i64> {
    let sql = "select pg_total_relation_size(to_regclass($1))";
    Ok(db.query(WHAT, sql, &[&table]).await?.first().map_or(0, |row| row.get(0)))
}

/// Only the limit of the configuration is known beforehand: a server does not say how much room its disks have.
async fn require_room(backups: &Backups, db: &Db, needed: i64, of_import: bool) -> Result<()> {
    let keep = usize::try_from(backups.keep).unwrap_or(usize::MAX);
    let all = list(db).await?;
    let of_kind = |of_import: bool| {
        all.iter().filter(move |backup| backup.import.is_some() == of_import).map(|b| b.bytes)
    };
    let others: i64 = of_kind(of_import).take(keep - 1).chain(of_kind(!of_import).take(keep)).sum();
    refuse_beyond(backups, needed, others)
}

fn refuse_beyond(backups: &Backups, needed: i64, others: i64) -> Result<()> {
    let limit = i64::from(backups.max_mib) * 1024 * 1024;
    if limit == 0 || needed + others <= limit {
        return Ok(());
    }
    Err(Error::refused(
        format!(
            "a backup of the target tables needs about {needed} bytes, and with {others} bytes of earlier ones that is \
             more than backup.max_mib = {} allows",
            backups.max_mib
        ),
        "drop earlier ones (`tributary backups list`, `tributary backups drop <run>`), raise backup.max_mib, or set \
         backup.enabled = false, and there is no way back",
    ))
}

/// What taking copies of these tables begins with, inside an open transaction that is rolled back.
///
/// # Errors
/// As [`copies`].
pub(super) async fn try_out(
    backups: &Backups,
    db: &Db,
    tables: &[String],
    is_migrated: bool,
) -> Result<()> {
    let mut needed = 0;
    for table in tables {
        needed += tables::find(db, table).await?.bytes;
    }
    if is_migrated {
        require_room(backups, db, needed, false).await?;
    } else {
        refuse_beyond(backups, needed, 0)?;
    }
    create_schema(db, "tributary_backup_tried").await
}

fn no_room(error: Error, needed: i64) -> Error {
    if error.code() != Some(&SqlState::DISK_FULL) {
        return error;
    }
    Error::refused(
        format!(
            "a backup of the target tables needs about {needed} bytes, and the target's disk is full"
        ),
        "make room on it, drop earlier backups (`tributary backups drop <run>`), or set backup.enabled = false, and \
         there is no way back",
    )
}

/// Drops all but the newest: those of imports, or the others.
///
/// # Errors
/// Those of the target.
pub(crate) async fn retain(backups: &Backups, db: &Db, of_import: bool) -> Result<()> {
    let keep = usize::try_from(backups.keep).unwrap_or(usize::MAX);
    let of_kind = |backup: &Backup| backup.import.is_some() == of_import;
    for backup in list(db).await?.into_iter().filter(of_kind).skip(keep) {
        match super::drop(db, &backup.run).await {
            Ok(()) => tracing::info!(run = backup.run, "dropped an earlier backup"),
            Err(error @ Error::Refused { .. }) => {
                tracing::warn!(%error, run = backup.run, "an earlier backup stays");
            }
            Err(error) => return Err(error),
        }
    }
    Ok(())
}
