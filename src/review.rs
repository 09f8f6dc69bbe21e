//! The review queue and the people in it, as people read them: on the command line and on the operators' page (SPEC §6,
//! §7). Reads the daemon's own tables; what is decided goes through [`crate::ask`].

pub(crate) mod found;
pub(crate) mod people;
pub(crate) mod person;
pub(crate) mod query;
pub(crate) mod queue;
pub(crate) mod sides;
pub(crate) mod summary;
pub(crate) mod ways;
