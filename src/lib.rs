//! Tributary keeps one clean customer database in step with two raw PostgreSQL tables.
//!
//! ```text
//!  source PostgreSQL                      tributary                              target PostgreSQL
//! ┌──────────────────┐   ┌───────────────────────────────────────────┐   ┌──────────────────────────┐
//! │ xendit systemeio │──▶│ source ─▶ decode ─▶ facts ─▶ batch ─▶ apply│──▶│ tributary.contact/payment│
//! │ slot, publication│   │           (row rules)        │ load facts │   │ tributary.person         │
//! └──────────────────┘   │                              ▼            │   │ profiles transactions    │
//!                        │                        unify (pure)       │──▶│ enrollments conflict     │
//!                        │                                           │──▶│ checkpoint  (one COMMIT) │
//!                        └───────────────────────────────────────────┘   └──────────────────────────┘
//! ```
//!
//! The target is a pure function of the source rows, the rules and the recorded decisions. Streaming,
//! backfill, rebuild, decisions and the daily expiry therefore all take the same four steps: store facts,
//! find the touched owners, unify them, write what differs. There is no second write path.
//!
//! # The modules in reading order
//!
//! | module | does | must not know |
//! |---|---|---|
//! | [`rules`] | the business rules that are configuration, as plain data | where they come from |
//! | [`facts`] | one source row in, one normalised fact out | drivers, tokio, the clock, other rows |
//! | [`unify`] | the facts of a person in; profile, transactions, enrollments, conflicts out | SQL, the clock, the order of arrival |
//! | [`decode`] | replication bytes to source transactions; never panics | I/O, what a column means |
//! | [`source`] | checks, publication, slot, chunk reader, replication stream | where rows go |
//! | [`apply`] | facts in, people out, checkpoint; the only module that writes the target's data | replication |
//! | [`backfill`] | both tables in chunks, then the people in ranges; resumable | the stream |
//! | [`pipeline`] | the loop: receive, batch, apply, confirm; what is beside the stream, in rounds | row rules |
//! | [`session`] | the writer's lock, and where to go on from | what changes mean |
//! | [`halt`], [`decisions`] | what waits for an operator, and what operators decided | the stream |
//! | [`migrate`] | the target schema, without ever dropping anything | rows |
//! | [`config`], [`connect`], [`retry`], [`error`] | the edges: TOML, TLS, backoff, what happens next | the rules' meaning |
//! | [`failpoint`] | named points at which a test lets the process die; nothing in a release build | |
//! | [`status`], [`http`], [`metrics`], [`logging`], [`systemd`] | what others see; never a customer value | |
//! | [`cli`], [`demo`] | one file a command; the whole job on made-up data | |
//!
//! `facts`, `unify`, `decode` and `rules` import no driver, no tokio and no clock; a test holds them to it.
//!
//! # Where this differs from what one might expect
//!
//! - `pgwire-replication` reads the stream, as `postgres-replication` is on no registry; it is known to
//!   `source/stream.rs` alone. `backoff` is unmaintained and known to `retry.rs` alone.
//! - Rows travel to the target as one text array a column and are cast to each column's own type: tables
//!   that were there before may have other types than the ones this crate would make.
//! - Chunks of the backfill are ranges of blocks, not of keys: sequential reads, no index needed. Each fact
//!   remembers the snapshot its chunk was read in, so that the stream's repetition of what the chunk
//!   contained is left out, and rows never go back in time ([`engine::ChunkSnapshots`]).

pub mod apply;
pub mod ask;
pub mod backfill;
pub mod cli;
pub mod config;
pub mod connect;
pub mod decisions;
pub mod decode;
pub mod demo;
pub mod engine;
pub mod error;
pub mod facts;
pub mod failpoint;
pub mod halt;
pub mod http;
pub mod logging;
pub mod lsn;
pub mod metrics;
pub mod migrate;
pub mod pg;
pub mod pipeline;
pub mod retry;
pub mod rules;
pub mod session;
pub mod source;
pub mod status;
pub mod store;
pub mod systemd;
pub mod targets;
pub mod unify;
