//! What decisions would change, exactly (SPEC §7): they are carried out by the one writer, in a transaction that is
//! rolled back. There is no second computation that could say something else.
//!
//! Between two batches of the stream, like the decision itself, and about as long. Rows that it reaches are locked until
//! it is rolled back; triggers of the application fire and are undone with it.

use serde::{Deserialize, Serialize};

use super::snapshot::{Change, Snapshot, Table};
use super::{By, Command, decide};
use crate::apply::{Applier, Mode};
use crate::error::{Error, Result};
use crate::pg::Tx;

/// Decisions that one preview takes: the stream waits for it.
pub const MOST: usize = 100;
/// Changed rows that it lists; further ones are counted.
const LISTED: usize = 500;

/// What one decision would come to.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Would {
    /// Whether it would be carried out.
    pub done: bool,
    /// What would be done, or why not.
    pub text: String,
}

/// Rows of one table that would change.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Count {
    /// The table.
    pub table: Table,
    /// Rows.
    pub rows: usize,
}

/// What decisions would change.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Preview {
    /// Each decision, in order.
    pub decisions: Vec<Would>,
    /// Changed rows of each table, all of them.
    pub counts: Vec<Count>,
    /// The changed rows, the first of them.
    pub changes: Vec<Change>,
}

impl Preview {
    fn of(decisions: Vec<Would>, mut changes: Vec<Change>) -> Self {
        let count = |table| Count {
            table,
            rows: changes.iter().filter(|change| change.table == table).count(),
        };
        let counts = Table::ALL.map(count).into_iter().filter(|count| count.rows > 0).collect();
        changes.truncate(LISTED);
        Self { decisions, counts, changes }
    }

    /// Rows that change but are not listed.
    #[must_use]
    pub fn unlisted(&self) -> usize {
        let all: usize = self.counts.iter().map(|count| count.rows).sum();
        all.saturating_sub(self.changes.len())
    }

    /// Reads the answer to a request for a preview.
    ///
    /// # Errors
    /// Where it is of another version.
    pub fn parse(answer: &str) -> Result<Self> {
        serde_json::from_str(answer).map_err(|error| Error::failed("reading a preview", error))
    }
}

/// What these commands would change, one after another; as the answer of a command. Nothing stays of it.
///
/// # Errors
/// The refusal of a single one; those of the target.
pub(super) async fn preview(
    applier: &mut Applier,
    commands: &[Command],
    actor: &str,
) -> Result<String> {
    if commands.len() > MOST {
        return Err(Error::refused(
            format!("a preview takes {MOST} decisions at most"),
            "ask for fewer at once",
        ));
    }
    let preview = match attempt(applier, commands, actor, Mode::STREAM).await {
        Err(Error::Data { .. }) => attempt(applier, commands, actor, Mode::CAREFUL).await,
        other => other,
    }?;
    serde_json::to_string(&preview).map_err(|error| Error::failed("writing a preview", error))
}

async fn attempt(
    applier: &mut Applier,
    commands: &[Command],
    actor: &str,
    mode: Mode,
) -> Result<Preview> {
    let tx = applier.begin().await?;
    applier.watch.start();
    let done = within(applier, &tx, commands, actor, mode).await;
    let reached = applier.watch.stop();
    let after = match &done {
        Ok(_) => Snapshot::read(tx.db(), &applier.tables, &reached).await,
        Err(_) => Ok(Snapshot::default()),
    };
    tx.rollback().await?;
    applier.load_decisions().await?;
    let (decisions, after) = (done?, after?);
    // Nobody else writes these columns: as it is now, it was before.
    let before = Snapshot::read(&applier.db, &applier.tables, &reached).await?;
    Ok(Preview::of(decisions, before.changes(&after)))
}

async fn within(
    applier: &mut Applier,
    tx: &Tx,
    commands: &[Command],
    actor: &str,
    mode: Mode,
) -> Result<Vec<Would>> {
    crate::store::halt::refuse_rolled_back(tx.db()).await?;
    let mut decisions = Vec::with_capacity(commands.len());
    for command in commands {
        let by = By { actor, note: command.note.as_deref(), conflict: command.conflict };
        if commands.len() > 1 {
            tx.batch("target: opening a savepoint", "savepoint previewed").await?;
        }
        match decide(applier, tx, &command.request, &by, mode).await {
            Ok(text) => decisions.push(Would { done: true, text }),
            Err(error @ Error::Refused { .. }) if commands.len() > 1 => {
                tx.batch("target: going back to a savepoint", "rollback to savepoint previewed")
                    .await?;
                decisions.push(Would { done: false, text: error.to_string() });
            }
            Err(error) => return Err(error),
        }
        // As each would find them after the one before.
        applier.load_decisions().await?;
    }
    Ok(decisions)
}
