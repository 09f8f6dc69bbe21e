//! Tributary.

pub mod facts;
pub mod rules;
pub mod unify;
