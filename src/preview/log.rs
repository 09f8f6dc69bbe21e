//! The entry of a dry run in the operation log: one row, at its end, where there is a log already (SPEC §9). It is the only thing
//! that a dry run leaves behind.

use jiff::Timestamp;
use serde_json::{Value, json};

use super::{Predicted, Preview};
use crate::config::Config;
use crate::connect::connect;
use crate::error::Result;
use crate::store::operation_log::{self, Finish, Operation, Operator, Outcome};

/// Records a dry run. That it fails never makes the dry run fail: a role that only reads may look too.
pub async fn log(
    config: &Config,
    started_at: Timestamp,
    asked_by: Option<&str>,
    found: &Result<Option<Predicted>>,
) {
    if let Err(error) = record(config, started_at, asked_by, found).await {
        tracing::warn!(%error, "the operation log cannot be written");
    }
}

async fn record(
    config: &Config,
    started_at: Timestamp,
    asked_by: Option<&str>,
    found: &Result<Option<Predicted>>,
) -> Result<()> {
    let target = connect(&config.target.server, "tributary log", "target").await?;
    if !operation_log::is_there(&target).await? {
        return Ok(());
    }
    let end = match found {
        Ok(Some(found)) => {
            let changes = &found.changes;
            Finish::new(Outcome::Done).counted(changes.estimate.rows, 0).with(counts(changes))
        }
        Ok(None) => Finish::new(Outcome::Stopped),
        Err(error) => Finish::failed(error),
    };
    let operator = Operator { asked_by: asked_by.map(str::to_owned), ..Operator::of(config) };
    let operation = Operation::DryRun;
    operation_log::record(&target, &operator, operation, started_at, &end).await.map(drop)
}

/// What becomes of how many rows.
fn counts(changes: &Preview) -> Value {
    let mut tables = json!({});
    for (name, rows) in &changes.tables {
        tables[name] = json!({
            "insert": rows.insert, "update": rows.update.total, "unchanged": rows.unchanged,
            "unsupported": rows.unsupported, "delete": rows.delete,
        });
    }
    json!({ "tables": tables, "conflicts": changes.conflicts, "halts": changes.halts.len() })
}
