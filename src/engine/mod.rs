//! What changes of source rows mean for the targets. Pure: no SQL, no clock, no driver.
//!
//! [`rows`] takes changes to stored rows and to the owners that they touch, [`people`] the rows of owners to outcomes,
//! [`diff`] outcomes to what must be written. The caller fetches what each step names, and writes what comes out, or
//! does not.

pub mod adopt;
mod at_stake;
mod change;
mod chunks;
pub mod columns;
pub mod diff;
pub mod email_change;
mod env;
mod fact;
mod feeds;
pub mod literal;
pub mod people;
pub mod raw;
pub mod rollout;
pub mod rows;
pub mod shared;
mod state;
pub mod unchanged;
pub mod versions;

pub use at_stake::AtStake;
pub use change::{Arrival, NO_TRANSACTION, RowChange, RowId, StoredRow};
pub use chunks::{ChunkSnapshots, Snapshot};
pub use env::{Env, RowDecisions};
pub use fact::{Fact, LeftOut, Why, incomplete_owner};
pub use feeds::{FeedEntry, FeedLayout, Feeds, key_digest, parse_discreet_row};
pub use state::{GROUP_LIMIT, Person, PersonState, SharedId, StoredConflict, WantedConflict};

#[cfg(test)]
mod model_tests;
