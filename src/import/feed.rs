//! The records of a load in batches, read and converted on a thread of their own while the target writes the batch
//! before.

use std::sync::Arc;

use tokio::sync::mpsc::{self, Receiver};

use super::check::Checked;
use super::plan::Plan;
use super::read::{Place, Records, Text};
use super::row::{Made, Maker};
use crate::error::{Error, Result};

/// Bytes of records of one batch: three are in memory at a time, with what is made of them.
const BATCH_BYTES: usize = 1 << 20;

/// Batches that wait for the target.
const WAITING: usize = 1;

/// Some records of a load.
pub(super) struct Batch {
    pub(super) made: Vec<Made>,
    /// The number of the last.
    pub(super) last: u64,
}

/// Reads the records behind `after`.
pub(super) fn batches(
    plan: &Arc<Plan>,
    checked: &Arc<Checked>,
    places: Vec<Place>,
    second: bool,
    after: u64,
) -> Receiver<Result<Batch>> {
    let (sender, receiver) = mpsc::channel(WAITING);
    let maker = Maker { plan: Arc::clone(plan), checked: Arc::clone(checked), second };
    let dialect = plan.input(&checked.load).map(|input| input.dialect.clone()).unwrap_or_default();
    tokio::task::spawn_blocking(move || {
        let mut records = Records::new(places, dialect, &maker.checked.load.name);
        let mut skipped = records.skip_to(after);
        loop {
            let batch = match skipped {
                Ok(()) => next(&maker, &mut records),
                Err(error) => Err(error),
            };
            skipped = Ok(());
            let ended = !matches!(&batch, Ok(Some(_)));
            // Nobody takes it any more where the import ended with an error.
            if let Some(batch) = batch.transpose()
                && sender.blocking_send(batch).is_err()
            {
                return;
            }
            if ended {
                return;
            }
        }
    });
    receiver
}

fn next(maker: &Maker, records: &mut Records) -> Result<Option<Batch>> {
    let mut batch = Batch { made: Vec::new(), last: 0 };
    let (mut count, mut bytes) = (0, 0);
    while count < maker.plan.batch && bytes < BATCH_BYTES {
        let Some(record) = records.next()? else { break };
        let (Text::Whole(text) | Text::Broken { text, .. }) = &record.text;
        bytes += text.len();
        count += 1;
        batch.last = record.number;
        maker.make(&record, &mut batch.made);
    }
    Ok((count > 0).then_some(batch))
}

/// What a reader that ended without a word means.
pub(super) fn ended() -> Error {
    Error::failed("reading the files", "the reader ended before the end of its input")
}
