//! People out of facts (SPEC §4 to §6): survivorship, transactions, enrollments, conflicts.
//!
//! Pure: knows no SQL, no clock, no order of arrival. The same facts in any order give the same answer.

mod model;

pub use model::{
    Conflict, ConflictKind, Context, Enrollment, EnrollmentStatus, Group, Owner, Profile, Severity,
    Transaction, Unified,
};
