//! The product on a real PostgreSQL that the tests start themselves.

// A test fails by panicking; clippy knows that only of functions marked as tests.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

mod stopped;
mod support;
mod upgrade;

mod admin;
mod admin_http;
mod admin_scale;
mod adoption;
mod alone;
mod auth_users;
mod backups;
mod batching;
mod beside;
mod budgets;
mod check;
mod convergence;
mod crashes;
mod cutover;
mod decision_previews;
mod decisions;
mod demo;
mod docs;
mod email_changes;
mod entry_points;
mod erase;
mod failpoints;
mod faults;
mod feeds_changes;
mod feeds_forms;
mod feeds_halt;
mod feeds_live;
mod feeds_new;
mod feeds_shown;
mod guards;
mod hidden;
mod import;
mod logs;
mod losses;
mod measured;
mod noticed;
mod operation;
mod operation_log;
#[cfg(feature = "otlp")]
mod otlp;
mod output;
mod parts;
mod people;
mod preflight;
mod previews;
mod privacy;
mod purity;
mod readiness;
mod readme;
mod restored;
mod review;
mod roles;
mod rollout;
mod rules;
mod schemas;
mod servers;
mod service;
mod slots;
mod starts;
mod targets;
mod tls;
mod upkeep;
mod verify;
mod verify_planted;
