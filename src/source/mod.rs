//! The source server: checks, slot, publication, chunked reading and the replication stream.
//!
//! Nothing here writes to the source but a publication and a slot of its own. What rows mean is
//! not known here ([`crate::facts`]), nor where they go.

pub mod catalog;
pub mod found;
mod identity;
pub mod layout;
pub mod position;
pub mod preflight;
pub mod publication;
mod reader;
pub mod slot;
pub mod slot_log;
pub mod snapshot;
pub mod stream;
pub mod watch;
pub mod writers;

pub use layout::layout;
pub use preflight::{Finding, preflight};
pub use reader::{RowReader, is_no_such_key};
pub use stream::{Stream, StreamItem};
pub use watch::Watch;
pub use writers::Writers;
