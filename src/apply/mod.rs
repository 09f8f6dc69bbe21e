//! The one write path: fetch, decide, write.
//!
//! ```text
//! changes ─▶ fetch stored rows ─▶ decide rows ─▶ fetch owners ─▶ decide people ─▶ write one group ─▶ COMMIT
//! ```
//!
//! Stream, backfill, rebuild, decisions, expiry and quarantine all end in [`Applier::settle`]; only where the rows
//! come from differs. Deciding is [`crate::engine`]'s, rows of the schema `tributary` are [`crate::store`]'s, rows of the
//! application [`crate::targets`]'.
//!
//! In reading order: `batch` (source transactions), `apart` (those that cannot be decided together), `beside` (batches beside a
//! reconcile that reads), `fetch`, `decide`, `settle` (decide and write owners), `email_changes` (SPEC §4.3), `conflicts`, `quarantine` (what the target refuses),
//! `large` (transactions in parts), `passes` (what no source change brings).

mod adopt;
mod apart;
mod batch;
mod beside;
mod clock;
mod compare;
mod conflicts;
mod decide;
mod deleted_payments;
mod email_changes;
mod fetch;
mod incomplete;
mod large;
mod open;
mod passes;
mod plans;
mod quarantine;
mod read;
mod repair;
mod scan;
mod settle;
mod totals;
mod watch;

use std::sync::Arc;

pub use batch::Applied;
pub use compare::{Expected, Misrecorded, Unsupported, is_left_to_history};
pub use fetch::State;
pub use incomplete::Absent;
pub use passes::parse_source_row;
pub(crate) use read::stored_feeds;
pub use read::{LeftOutRow, adopted_transactions, find_row, left_out_rows, read_owner};
pub use repair::Repair;
pub use scan::{ROWS_OF_A_PAGE, Scanned};
pub use settle::Mode;
pub use watch::{Reached, Watch};

use crate::engine::Env;
use crate::pg::Db;
use crate::source::RowReader;
use crate::store::operation_log::Operator;
use crate::targets::{CameIn, Tables};

/// Settings of a session whose look-ups are all narrow (P16).
const NARROW_LOOK_UPS: &str = include_str!("sql/narrow_look_ups.sql");

/// Owners decided in one round: bounds memory, and keeps statements short enough to be interrupted.
pub const OWNERS_PER_ROUND: usize = 500;

/// Applies changes to one target, on a session that holds the lock.
pub struct Applier {
    /// The session.
    pub db: Arc<Db>,
    /// What decisions depend on beside the rows.
    pub env: Env,
    /// The application's tables.
    pub tables: Tables,
    /// Reads single rows of the source.
    pub reader: RowReader,
    /// As what it works, for the operation log.
    pub operator: Operator,
    /// Whether there are profiles that belong to no person: only then another one may have a person's address.
    has_foreign_profiles: bool,
    /// Those who came into the rollout with whom they joined, until what was left behind of them is looked for.
    pub(crate) came_in: CameIn,
    /// Whether any owner is quarantined.
    has_quarantine: bool,
    /// Whether anybody is counted as outside of the rollout.
    has_outside: bool,
    /// Whether any conflict concerns an owner that it is not about by its scope, or is between two persons whom an e-mail change
    /// was about.
    has_partners: bool,
    /// Whether the application holds a transaction whose payment is gone.
    has_blocked_deletes: bool,
    /// Whether any payment adopted a transaction of the application.
    has_adopted: bool,
    /// Set while a reconcile reads beside the stream.
    reading: Option<beside::Reading>,
    /// The target server's clock.
    clock: clock::TargetClock,
    /// Makes the plans of the session again.
    plans: plans::Plans,
    /// Notes what a preview reaches.
    pub watch: Watch,
}
