//! Runs, their cursor, and the records that did not become rows.

use uuid::Uuid;

use super::ids::Identity;
use super::row::Refuse;
use super::summary::{LoadReport, Refusal};
use crate::error::{Error, Result};
use crate::pg::{Param, Tx};

/// Most refusals that a report lists; the file of rejected records holds all.
const LISTED: i64 = 1000;

/// Where a run is.
#[derive(Debug, Clone)]
pub(super) struct Cursor {
    pub(super) identity: Identity,
    /// The step, and the last record of it that is done.
    pub(super) step: usize,
    pub(super) record: u64,
    pub(super) loads: Vec<LoadReport>,
    pub(super) resumed: bool,
}

/// Goes on with the run that was interrupted with the same plan and files, or begins one.
pub(super) async fn begin(
    tx: &Tx,
    import: &str,
    fingerprint: Uuid,
    tables: &[String],
) -> Result<Cursor> {
    const WHAT: &str = "target: beginning the run";
    let sql = "select run, fingerprint, load, record, summary::text from tributary.import_run \
               where import = $1 and state = 'running' order by run desc limit 1";
    let open = tx.query(WHAT, sql, &[&import]).await?;
    if let Some(row) = open.first().filter(|row| row.get::<_, Uuid>(1) == fingerprint) {
        let summary: String = row.get(4);
        let loads = serde_json::from_str(&summary).map_err(|error| Error::failed(WHAT, error))?;
        return Ok(Cursor {
            identity: Identity { import: import.to_owned(), run: row.get(0) },
            step: usize::try_from(row.get::<_, i32>(2)).unwrap_or_default(),
            record: row.get::<_, i64>(3).unsigned_abs(),
            loads,
            resumed: true,
        });
    }
    let superseded = "update tributary.import_run set state = 'superseded', updated_at = now() \
                      where import = $1 and state = 'running'";
    tx.execute(WHAT, superseded, &[&import]).await?;
    let sql = "insert into tributary.import_run (import, fingerprint, tables, summary) \
               values ($1, $2, $3, '[]') returning run";
    let rows = tx.query(WHAT, sql, &[&import, &fingerprint, &tables]).await?;
    let run = rows
        .first()
        .map(|row| row.get(0))
        .ok_or_else(|| Error::failed(WHAT, "no row came back"))?;
    let identity = Identity { import: import.to_owned(), run };
    Ok(Cursor { identity, step: 0, record: 0, loads: Vec::new(), resumed: false })
}

/// The last finished run of an import, with whether it was of these files and this plan.
pub(super) async fn last(tx: &Tx, import: &str, fingerprint: Uuid) -> Result<Option<(i64, bool)>> {
    let sql = "select run, fingerprint = $2 from tributary.import_run \
               where import = $1 and state = 'finished' order by run desc limit 1";
    let rows = tx.query("target: reading the last run", sql, &[&import, &fingerprint]).await?;
    Ok(rows.first().map(|row| (row.get(0), row.get(1))))
}

/// Moves the cursor.
pub(super) async fn advance(tx: &Tx, cursor: &Cursor) -> Result<()> {
    const WHAT: &str = "target: moving the cursor";
    let summary =
        serde_json::to_string(&cursor.loads).map_err(|error| Error::failed(WHAT, error))?;
    let step = i32::try_from(cursor.step).map_err(|error| Error::failed(WHAT, error))?;
    let sql = "update tributary.import_run set load = $2, record = $3, summary = $4::text::jsonb, \
               updated_at = now() where run = $1 and state = 'running'";
    let params: [Param<'_>; 4] =
        [&cursor.identity.run, &step, &cursor.record.cast_signed(), &summary];
    match tx.execute(WHAT, sql, &params).await? {
        1 => Ok(()),
        _ => Err(Error::refused(
            "target: another import of this name took over",
            "wait for it to end, then run this one again",
        )),
    }
}

/// Ends a run, and forgets what earlier ones refused.
pub(super) async fn finish(tx: &Tx, cursor: &Cursor) -> Result<()> {
    const WHAT: &str = "target: ending the run";
    let run = &cursor.identity.run;
    let sql = "update tributary.import_run set state = 'finished', updated_at = now(), \
               finished_at = now() where run = $1";
    tx.execute(WHAT, sql, &[run]).await?;
    let import = &cursor.identity.import;
    let sql = "delete from tributary.import_reject where import = $1 and run < $2";
    tx.execute(WHAT, sql, &[import, run]).await?;
    let sql = "update tributary.import_reject set text = null where import = $1 and run = $2";
    tx.execute(WHAT, sql, &[import, run]).await?;
    Ok(())
}

/// Keeps the records that did not become rows.
pub(super) async fn refuse(
    tx: &Tx,
    identity: &Identity,
    load: &str,
    refused: &[Refuse],
) -> Result<()> {
    if refused.is_empty() {
        return Ok(());
    }
    // PostgreSQL has no text with the character 0.
    let plain = |text: &str| text.replace('\0', "");
    let mut records: Vec<i64> = Vec::new();
    let mut elements: Vec<i32> = Vec::new();
    let mut others: Vec<Option<i64>> = Vec::new();
    let mut texts: [Vec<Option<String>>; 6] = Default::default();
    for refuse in refused {
        records.push(refuse.origin.record.cast_signed());
        elements.push(refuse.origin.element.cast_signed());
        others.push(refuse.other_record.map(u64::cast_signed));
        let row = [
            Some(refuse.outcome.as_str().to_owned()),
            Some(plain(&refuse.origin.key)),
            refuse.field.clone(),
            Some(refuse.reason.clone()),
            refuse.other_key.as_deref().map(plain),
            Some(plain(&refuse.origin.text)),
        ];
        for (column, value) in texts.iter_mut().zip(row) {
            column.push(value);
        }
    }
    let [outcomes, keys, fields, reasons, other_keys, records_text] = &texts;
    let sql = include_str!("sql/refuse.sql");
    let params: [Param<'_>; 12] = [
        &identity.import,
        &identity.run,
        &load,
        &records,
        &elements,
        outcomes,
        keys,
        fields,
        reasons,
        other_keys,
        &others,
        records_text,
    ];
    tx.execute("target: keeping rejected records", sql, &params).await.map(drop)
}

/// The first of the records that did not become rows. Of a duplicate of a row the other side's old id is named too.
pub(super) async fn refusals(tx: &Tx, identity: &Identity) -> Result<Vec<Refusal>> {
    let sql = include_str!("sql/refusals.sql");
    let params: [Param<'_>; 3] = [&identity.import, &identity.run, &LISTED];
    let rows = tx.query("target: reading rejected records", sql, &params).await?;
    let refusal = |row: &tokio_postgres::Row| Refusal {
        load: row.get(0),
        record: row.get::<_, i64>(1).unsigned_abs(),
        element: row.get::<_, i32>(2).unsigned_abs(),
        outcome: row.get(3),
        key: row.get(4),
        field: row.get(5),
        reason: row.get(6),
        other_key: row.get(7),
        other_record: row.get::<_, Option<i64>>(8).map(i64::unsigned_abs),
    };
    Ok(rows.iter().map(refusal).collect())
}
