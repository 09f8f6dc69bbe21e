//! Tributary keeps one clean customer database in step with raw PostgreSQL tables ("feeds").
//!
//! ```text
//!  source PostgreSQL             tributary                                              target PostgreSQL
//! ┌───────────────┐  ┌───────────────────────────────────────────────────────────┐  ┌──────────────────────────┐
//! │ feeds         │─▶│ decode ─▶ batch ─▶ FETCH ─────▶ DECIDE (pure) ─▶ WRITE    │─▶│ tributary.source_row     │
//! │ slot,         │  │                    stored rows   row rules       one group│  │ tributary.person         │
//! │ publication   │  │                    of the keys,  email changes   of piped │  │ profiles transactions    │
//! └───────────────┘  │                    of touched    unify         statements │  │ enrollments conflict     │
//!                    │                    people,       diff                     │  │ checkpoint  (one COMMIT) │
//!                    │                    shared ids                             │  └──────────────────────────┘
//!                    └───────────────────────────────────────────────────────────┘
//! ```
//!
//! The target is a pure function of the source rows, the rules and the recorded decisions. Stream, backfill, rebuild,
//! decisions, the daily expiry and retries therefore take the same three moves and end in
//! [`Applier::settle`](apply::Applier::settle); only where the rows come from differs. There is no second write path.
//!
//! `SPEC §4.3` and `P7` in comments are sections of `docs/rules.md`. `docs/architecture.md` says how the parts work, with
//! the fifteen functions from `main` to the commit; `docs/operations.md` is for operators.
//!
//! # The modules in reading order
//!
//! Pure: no I/O, no driver, no runtime, no clock. `tests/it/purity.rs` checks their imports.
//!
//! | module | does | must not know |
//! |---|---|---|
//! | [`rules`] | the business rules that are configuration, as plain data | where they come from |
//! | [`digest`] | name-based UUIDs | what they name |
//! | [`cores`] | a function applied to many items on all cores, to few where it is | what is computed |
//! | [`facts`] | row rules: one source row in, one normalised fact out | other rows |
//! | [`unify`] | the facts of one owner in; profile, transactions, enrollments, conflicts out; explains the choice | how rows are stored, the order of arrival |
//! | [`decode`] | replication messages and COPY text to changes of rows; never panics | what a column means |
//! | [`engine`] | changes and stored rows in, what must be written out: row versions, email changes, shared ids, outcome digests | how its state was fetched, whether its answer is written |
//!
//! Connections and tables:
//!
//! | module | does | must not know |
//! |---|---|---|
//! | [`error`] | kind, server, SQLSTATE and remedy of an error; one table of what happens next | the words of a message |
//! | [`lsn`] | positions in PostgreSQL's log | |
//! | [`connect`] | TLS, time limits, pinned session settings | what is sent |
//! | [`pg`] | a session with cached statements; [`Tx`](pg::Tx), an open transaction; [`Group`](pg::Group), pipelined statements with the rows that each must reach | tables |
//! | [`source`] | checks, publication, slot, chunk reader, replication stream | where rows go |
//! | [`store`] | the schema `tributary`, one file a table | what is decided |
//! | [`targets`] | the application's tables: catalog, write, delete, merge, ids of profiles | what a row should say |
//! | [`migrate`] | both schemas, without ever dropping a column of the application | rows |
//!
//! Work:
//!
//! | module | does | must not know |
//! |---|---|---|
//! | [`apply`] | fetch, decide, write; quarantine; large transactions in parts | the replication protocol |
//! | [`backfill`] | the feeds in chunks, then the people in pages; reconcile and rebuild; every round resumable | the stream |
//! | [`backup`] | copies of the target tables, and the rollback to them | what a row should say |
//! | [`decisions`] | what operators and the email change rule decided, and the way back | the stream |
//! | [`preview`] | the backfill on temporary copies: what it would do; what a real one did, in the same words | how rows are decided and written |
//! | [`import`] | exports into tables of the target: plan, ids, batches with their cursor, comparison, audit | feeds, the stream |
//! | [`verify`] | source, stored rows and target compared while the daemon works; repairs are asked of the writer | how rows are written |
//! | [`validate`] | the target looked at with plain SQL, which psql runs too | how rows are written |
//! | [`report`] | what an operation left behind: totals, data quality, known problems; as JSON, text and a page | how rows are written |
//! | [`jobs`] | what the SQL entry points ask of the daemon, beside the stream | how rows are written |
//! | [`halt`] | guarded deletes that wait for an operator | how they are applied |
//! | [`session`] | the writer's lock and epoch, the installation, slot and checkpoint: from where to go on | what changes mean |
//! | [`daemon`] | the loop: receive, batch, apply, confirm; what is done beside the stream | row rules |
//!
//! The edges:
//!
//! | module | does |
//! |---|---|
//! | [`config`] | TOML and environment to a validated [`Config`](config::Config); hashes of the rules; a configuration for the tables of a database |
//! | [`cli`] | one file a command; all output goes through [`cli::output`] |
//! | [`ask`] | has a command carried out by the running daemon, or here where none runs |
//! | `review` | the review queue and its people, as the command line and the operators' page show them |
//! | [`admin`] | the operators' page, served by the daemon |
//! | [`status`], [`http`], [`metrics`], [`logging`], [`traces`], [`systemd`] | what others see; never a customer value |
//! | [`retry`] | backoff |
//! | [`thread`] | long work on a thread of its own |
//! | [`failpoint`] | named points at which a test lets the process die; nothing in a release build |
//! | [`demo`] | the whole job on made-up data, from the workspace member `testkit` |
//!
//! # What is absent
//!
//! - **No stored facts.** The row store holds raw values; facts are derived whenever they are needed. So changed rules
//!   need no second reading of the source, and a fact has no schema to migrate.
//! - **No upsert by `on conflict`** in the target tables: adopted tables may lack the unique constraint, and this daemon
//!   is the only writer of the columns. Only rows that differ are written.
//! - **No savepoint on the normal path.** A batch that the target refuses is rolled back and repeated with savepoints.
//! - **No timer that collects a batch.** A batch is what has arrived while the one before was being applied.
//! - **No long snapshot.** Each chunk of a backfill has its own; the stored row remembers which.
//! - **No pool of writers.** One session writes, so that order and epoch are simple; statements are pipelined instead.
//! - **No mocks of PostgreSQL.** What decides is tested without a database, everything else on a real one.
//!
//! # Where this differs from what one might expect
//!
//! - `pgwire-replication` reads the stream, as `postgres-replication` is on no registry; it is known to
//!   `source/stream.rs` and its settings alone. `backoff` is unmaintained and known to `retry.rs` alone.
//! - Rows travel to the target as one text array a column and are cast to each column's own type: tables that were there
//!   before may have other types than the ones that this crate would create.
//! - Chunks of the backfill are ranges of blocks, not of keys: sequential reads, no index needed. A change in the stream
//!   that the snapshot of a row's chunk already contained is left out, so that rows never go back in time
//!   ([`engine::ChunkSnapshots`]).
//! - The session that applies has sequential scans and sorts disabled: every look-up is narrow and has its index, and
//!   a planner without statistics must use it.
//! - The target commits asynchronously; the source is confirmed what the target has flushed, by a task of its own.
//! - A value that the stream left out and that nothing knows is stored as *unknown*, which is not NULL.

pub mod admin;
pub mod apply;
pub mod ask;
pub mod backfill;
pub mod backup;
pub mod cli;
pub mod config;
pub mod connect;
pub mod cores;
pub mod daemon;
pub mod decisions;
pub mod decode;
pub mod demo;
pub mod digest;
pub mod engine;
pub mod error;
pub mod facts;
pub mod failpoint;
pub mod halt;
pub mod http;
pub mod import;
pub mod jobs;
pub mod logging;
pub mod lsn;
pub mod metrics;
pub mod migrate;
pub mod pg;
pub mod preview;
pub mod report;
pub mod retry;
mod review;
pub mod rules;
pub mod session;
pub mod source;
pub mod status;
pub mod store;
pub mod systemd;
pub mod targets;
pub mod thread;
pub mod traces;
pub mod unify;
pub mod validate;
pub mod verify;
