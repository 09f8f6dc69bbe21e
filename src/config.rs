//! Configuration: TOML and environment in, a validated [`Config`] out (SPEC §9).

//!
//! [`Config::load`] reads a file, replaces `${VAR}`, applies the overrides and checks everything it can
//! without a server; all problems of a file are reported together. Secrets are never part of a message,
//! nor of [`Config::to_toml`].

mod admin;
mod conninfo;
mod environment;
mod feeds;
#[cfg(test)]
mod feeds_tests;
mod hash;
mod http;
mod load;
pub(crate) mod mapping;
mod new;
mod previous;
mod products;
mod reload;
mod rules;
mod safety;
mod schema;
pub(crate) mod section;
mod server;
#[cfg(test)]
mod server_tests;
mod show;
mod target_only;
#[cfg(test)]
pub(crate) mod tests;

use std::collections::BTreeMap;
use std::fmt;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::time::Duration;

pub use admin::{AdminPage, Holder, Role};
pub use environment::Environment;
pub use new::{FoundTable, new_config};
pub use previous::upgraded;
pub use reload::Changes;
pub use schema::Schema;
pub use show::{Origins, written_sources};
pub use target_only::TargetOnly;

pub use mapping::{FieldSource, Fields};
pub use safety::{Backups, Expectations};

use crate::facts::{AmountUnit, MAX_ROW_BYTES};
use crate::rules::{Rules, Status};

/// Everything the operator decided.
#[derive(Debug, Clone)]
pub struct Config {
    /// Where raw rows come from.
    pub source: Source,
    /// Where clean rows go.
    pub target: Target,
    /// How the daemon works.
    pub run: Run,
    /// Limits of P9.
    pub guard: Guard,
    /// Copies that are taken before a backfill.
    pub backup: Backups,
    /// What the validation pack expects.
    pub validate: Expectations,
    /// How often everything is verified beside the stream; `None`: when `tributary verify` is run, no other time.
    pub verify_every: Option<Duration>,
    /// For how long closed things are kept (SPEC §10).
    pub retention_days: u32,
    /// The HTTP endpoint.
    pub http_listen: SocketAddr,
    /// Who may ask it for more than `/livez` and `/readyz`.
    pub http_access: Access,
    /// The operators' page on it.
    pub admin: AdminPage,
    /// What is logged, as `RUST_LOG`, which comes before it.
    pub log_level: Option<String>,
    /// The rules of the data.
    pub rules: Rules,
    /// Where the values came from, for [`Config::to_toml`].
    pub origins: Origins,
}

/// The source database.
#[derive(Debug, Clone)]
pub struct Source {
    /// How to connect.
    pub server: Server,
    /// Name of the logical replication slot.
    pub slot: String,
    /// Name of the publication.
    pub publication: String,
    /// The log kept for the slot, in MiB, beyond which the daemon gives the slot up; `None`: never.
    pub give_up_slot_mb: Option<u32>,
    /// What is read of it, in the order of the names.
    pub feeds: Vec<FeedConfig>,
}

/// The target database.
#[derive(Debug, Clone)]
pub struct Target {
    /// How to connect.
    pub server: Server,
    /// The schema of the daemon's own tables (SPEC §10).
    pub schema: Schema,
    /// The profiles table.
    pub profiles: TableName,
    /// The transactions table.
    pub transactions: TableName,
    /// The enrollments table.
    pub enrollments: TableName,
    /// The courses table.
    pub courses: TableName,
    /// What new people have to do with `auth.users`, where that table exists (SPEC §4.1).
    pub auth_users: AuthUsers,
    /// Where the tables are temporary copies, as in a dry run: what they are copies of.
    pub copies_of: Option<Box<Target>>,
}

impl Target {
    /// The tables that last: those that temporary copies stand for, else these.
    #[must_use]
    pub fn lasting(&self) -> &Self {
        self.copies_of.as_deref().unwrap_or(self)
    }
}

/// What new people have to do with `auth.users` (Supabase).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum AuthUsers {
    /// Nothing.
    Off,
    /// They take the id of the user with their address, where there is one.
    Link,
    /// As `Link`; where there is none, the user is made.
    Create,
}

impl AuthUsers {
    /// The word in the configuration.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Off => "off",
            Self::Link => "link",
            Self::Create => "create",
        }
    }

    fn parse(word: &str) -> Option<Self> {
        [Self::Off, Self::Link, Self::Create].into_iter().find(|known| known.as_str() == word)
    }
}

/// How the daemon works.
#[derive(Debug, Clone)]
pub struct Run {
    /// Whether `run` brings the target schema up to date.
    pub migrate: bool,
    /// Most row changes in one target transaction made of several source transactions.
    pub batch_rows: usize,
    /// Source rows per backfill chunk.
    pub chunk_rows: usize,
    /// Most bytes of the values of one source row; of a larger one the largest are left out (P13).
    pub max_row_bytes: usize,
}

impl Default for Run {
    fn default() -> Self {
        Self { migrate: true, batch_rows: 4000, chunk_rows: 1500, max_row_bytes: MAX_ROW_BYTES }
    }
}

/// Limits above which one source transaction's deletes wait for an operator (P9): both must be passed.
#[derive(Debug, Clone)]
pub struct Guard {
    /// Deleted rows of one table.
    pub delete_rows: u64,
    /// Share of the table, in percent.
    pub delete_percent: f64,
}

impl Guard {
    /// Whether this many deletes of a table of this size wait for an operator: both limits are passed.
    #[must_use]
    pub fn stops(&self, deleted: u64, of: u64) -> bool {
        deleted > self.delete_rows && deleted as f64 > of as f64 * self.delete_percent / 100.0
    }
}

impl Default for Guard {
    fn default() -> Self {
        Self { delete_rows: 1000, delete_percent: 10.0 }
    }
}

/// Who may read `/metrics` and `/status`.
#[derive(Clone, PartialEq, Eq)]
pub enum Access {
    /// Who reaches the address, which is on the loopback.
    Loopback,
    /// Who reaches the address, wherever it is: the operator said so.
    Open,
    /// Who presents the token.
    Token {
        /// The secret.
        token: String,
        /// The file that holds it, as the configuration names it.
        file: String,
    },
}

impl Access {
    /// The token to present, if any.
    #[must_use]
    pub fn token(&self) -> Option<&str> {
        match self {
            Self::Token { token, .. } => Some(token),
            _ => None,
        }
    }
}

impl fmt::Debug for Access {
    /// Without the token.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Loopback => "Loopback",
            Self::Open => "Open",
            Self::Token { .. } => "Token",
        })
    }
}

/// A PostgreSQL server.
#[derive(Clone)]
pub struct Server {
    /// Host, port, user, password, database.
    pub postgres: tokio_postgres::Config,
    /// `sslmode`.
    pub tls: TlsMode,
    /// `sslrootcert`: the certificates to trust, else the system's.
    pub ca_file: Option<PathBuf>,
    /// What this client presents; `None`: nothing.
    pub client_cert: Option<ClientCert>,
    /// The schema of the daemon's own tables, where there are any.
    pub schema: Schema,
}

/// The files of a client's certificate and of its key, as PEM.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ClientCert {
    /// `sslcert`: the certificate, then those that lead to its authority.
    pub certificate: PathBuf,
    /// `sslkey`: its private key, not encrypted.
    pub key: PathBuf,
}

impl fmt::Debug for Server {
    /// Without the password.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Server").field("tls", &self.tls).finish_non_exhaustive()
    }
}

/// `sslmode`. There is no `prefer` in effect: it falls back to plaintext silently.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum TlsMode {
    /// Plaintext.
    Disable,
    /// Encrypted; the server is not checked.
    Require,
    /// Encrypted; the certificate must be signed by a trusted authority.
    VerifyCa,
    /// As `VerifyCa`, and for this host name.
    VerifyFull,
}

impl TlsMode {
    /// libpq's word for it.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Disable => "disable",
            Self::Require => "require",
            Self::VerifyCa => "verify-ca",
            Self::VerifyFull => "verify-full",
        }
    }
}

/// A table by schema and name.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TableName {
    /// Schema, as stored in the catalog.
    pub schema: String,
    /// Name, as stored in the catalog.
    pub name: String,
}

impl TableName {
    /// `"schema"."name"`, safe to put into SQL.
    #[must_use]
    pub fn quoted(&self) -> String {
        format!("{}.{}", quote_identifier(&self.schema), quote_identifier(&self.name))
    }
}

impl fmt::Display for TableName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}.{}", self.schema, self.name)
    }
}

/// An identifier safe to put into SQL.
#[must_use]
pub fn quote_identifier(name: &str) -> String {
    format!("\"{}\"", name.replace('"', "\"\""))
}

/// A feed as configured (SPEC §1); `source::layout` checks it against the catalog.
#[derive(Debug, Clone)]
pub struct FeedConfig {
    /// Its name, the prefix of its source rows.
    pub name: String,
    /// Written to payment_provider, api_source, acquisition_source and payment_source.
    pub provider: String,
    /// Authority in SPEC §4.2, lower wins.
    pub rank: u32,
    /// Whether its ids are ids of the target.
    pub primary: bool,
    /// The table.
    pub table: TableName,
    /// Key columns, in key order.
    pub key: Vec<String>,
    /// Where the logical fields come from.
    pub fields: Fields,
    /// Of amount, fees and paid_amount.
    pub amount_unit: AmountUnit,
    /// Words beside those of the rules.
    pub status_words: BTreeMap<String, Status>,
    /// Rows that give no fact.
    pub skip: Vec<SkipRule>,
    /// As [`Run::max_row_bytes`].
    pub max_row_bytes: usize,
}

impl FeedConfig {
    /// The columns that it names, in order of first mention, the key first.
    #[must_use]
    pub fn columns(&self) -> Vec<&str> {
        let named = self.fields.named();
        let of_fields = named.iter().flat_map(|(_, sources)| *sources).filter_map(|s| s.column());
        let of_skip = self.skip.iter().filter_map(|rule| match &rule.of {
            SkippedBy::Column { column, .. } => Some(column.as_str()),
            SkippedBy::Field(_) => None,
        });
        let mut columns: Vec<&str> = Vec::new();
        for name in self.key.iter().map(String::as_str).chain(of_fields).chain(of_skip) {
            if !columns.contains(&name) {
                columns.push(name);
            }
        }
        columns
    }
}

/// Rows of a feed that give no fact (SPEC §1).
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SkipRule {
    /// By what.
    pub of: SkippedBy,
    /// Which texts.
    pub equals: Vec<String>,
}

/// What a row is skipped by.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum SkippedBy {
    /// A logical field.
    Field(String),
    /// A column, or a value inside of its JSON.
    Column {
        /// The column.
        column: String,
        /// The way to the value.
        path: Option<Vec<String>>,
    },
}
