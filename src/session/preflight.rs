//! What must hold before a session works: tried where the catalog does not show it (`check` and `run` alike, SPEC §9, P20).

mod records;
mod schema;

use tokio_postgres::SimpleQueryMessage;

pub use self::records::records;
pub use self::schema::schema;
use crate::config::{AuthUsers, Config, Server, TableName, quote_identifier};
use crate::connect::connect;
use crate::engine::columns::{ENROLLMENT, PROFILE, TRANSACTION};
use crate::error::{self, Context, Error, Result};
use crate::pg::Client;
use crate::source::Finding;
use crate::targets::reach;

/// Sessions that the daemon has on the source: the reader of rows, that of a backfill, that of the catalog, that which asks
/// for the end of the log, the stream.
const SOURCE_SESSIONS: i32 = 5;

/// What stands against using a server through this URL: a pooler that gives each transaction another session, a limit of
/// connections.
///
/// # Errors
/// The server is away.
pub async fn connections(
    client: &Client,
    server: &Server,
    which: error::Server,
) -> Result<Vec<Finding>> {
    let mut findings = Vec::new();
    if which == error::Server::Source {
        let row = client.query_one(include_str!("sql/connection_limit.sql"), &[]).await;
        let row = row.context("source: reading the connection limit")?;
        let (role, limit): (String, Option<i32>) = (row.get(0), row.get(1));
        let role = quote_identifier(&role);
        let check = "source.connections";
        if let Some(limit) = limit.filter(|limit| *limit < SOURCE_SESSIONS) {
            findings.push(Finding::failed(
                check,
                format!("the role {role} may have {limit} sessions, and {SOURCE_SESSIONS} are needed"),
                format!(
                    "run on the source: ALTER ROLE {role} CONNECTION LIMIT -1; (or raise the limit of the \
                     database, where that is the lower one)"
                ),
            ));
            // Another session might be one too many.
            return Ok(findings);
        }
        findings
            .push(Finding::passed(check, format!("the role may have {SOURCE_SESSIONS} sessions")));
    }
    findings.push(pooler(client, server, which.as_str()).await?.by_configuration_alone());
    Ok(findings)
}

/// A session that is its own gives another process than one beside it. A pooler in transaction mode gives the process that is
/// free to whoever asks next.
async fn pooler(client: &Client, server: &Server, name: &'static str) -> Result<Finding> {
    let check = format!("{name}.session");
    let what = format!("{name}: asking for the session");
    // In one message, so that nothing of it is still under way when the next one is asked.
    let pid = async |client: &Client| -> Result<String> {
        let answer = client.simple_query("select pg_backend_pid()").await.context(&what)?;
        let row = answer.iter().find_map(|message| match message {
            SimpleQueryMessage::Row(row) => row.get(0),
            _ => None,
        });
        Ok(row.unwrap_or_default().to_owned())
    };
    let beside = connect(server, "tributary", name).await?;
    let own = pid(client).await?;
    beside.batch_execute("begin").await.context(&what)?;
    let other = pid(&beside).await?;
    let own_again = [pid(client).await?, pid(client).await?];
    beside.batch_execute("rollback").await.context(&what)?;
    if own == other || own_again.iter().any(|again| *again != own) {
        return Ok(Finding::failed(
            check,
            format!(
                "a connection pooler in transaction mode, such as pgbouncer, stands before the {name}: settings, locks \
                 and prepared statements do not last there"
            ),
            format!(
                "name the server itself in the [{name}] section (host and port of PostgreSQL, not of the pooler), or a \
                 pool in session mode"
            ),
        ));
    }
    Ok(Finding::passed(check, "each connection is a session of its own"))
}

/// What stands against writing the target. With `tries`, rows are written and taken back also where nothing in the catalog
/// stands against it.
///
/// # Errors
/// The target is away.
pub async fn target(client: &Client, config: &Config, tries: bool) -> Result<Vec<Finding>> {
    let row = client.query_one(include_str!("sql/target_server.sql"), &[]).await;
    let row = row.context("target: reading settings")?;
    let (encoding, read_only): (String, bool) = (row.get("encoding"), row.get("read_only"));
    let role = quote_identifier(&row.get::<_, String>("role"));
    let mut findings = vec![
        Finding::judged(
            "target.encoding",
            encoding == "UTF8",
            format!("the encoding of the database is {encoding}"),
            "name a database of the encoding UTF8: CREATE DATABASE … TEMPLATE template0 ENCODING 'UTF8'; others cannot \
             hold every name",
        )
        .by_configuration_alone(),
        Finding::judged(
            "target.read_only",
            !read_only,
            if read_only {
                format!("default_transaction_read_only is on for the role {role}")
            } else {
                "transactions may write".to_owned()
            },
            format!(
                "run on the target: ALTER ROLE {role} RESET default_transaction_read_only; (where it is set for the \
                 database or the server, set it for the role: ALTER ROLE {role} SET default_transaction_read_only = off;)"
            ),
        ),
    ];
    if !read_only {
        for table in tables(config) {
            findings.extend(table.findings(client, &role, tries).await?);
        }
        if config.target.auth_users == AuthUsers::Create {
            findings.push(auth_users(client, &role).await?);
        }
    }
    Ok(findings)
}

/// Whether users can be made.
async fn auth_users(client: &Client, role: &str) -> Result<Finding> {
    let missing = crate::targets::auth_users::missing(client).await?;
    let check = "target.auth_users";
    if missing.is_empty() {
        return Ok(Finding::passed(check, "users can be made in auth.users"));
    }
    Ok(Finding::failed(
        check,
        format!("users cannot be made in auth.users: missing are {}", missing.join(", ")),
        format!(
            "bring the auth schema up to date (its own service migrates it); run on the target: GRANT USAGE ON SCHEMA auth TO {role}; \
             GRANT SELECT, INSERT, DELETE ON auth.users, auth.identities TO {role}; or set target.auth_users = \"link\""
        ),
    ))
}

/// A table that is written.
struct Written<'a> {
    name: &'a TableName,
    privileges: &'static [&'static str],
    texts: &'static [&'static str],
    numbers: &'static [&'static str],
    /// Owned columns, and what is written with them.
    owned: &'static [&'static str],
    beside: &'static [&'static str],
    /// What a row needs at least, with a value that no real row has.
    insert: &'static str,
    /// Whether rows are deleted, too.
    deletes: bool,
}

fn tables(config: &Config) -> [Written<'_>; 3] {
    let target = &config.target;
    [
        Written {
            name: &target.profiles,
            privileges: &["SELECT", "INSERT", "UPDATE"],
            texts: &["email", "systemeio_id"],
            numbers: &["api_sync_version"],
            owned: &PROFILE,
            beside: &["updated_at", "last_api_sync_at", "api_sync_version"],
            insert: reach::PROFILE,
            deletes: false,
        },
        Written {
            name: &target.transactions,
            privileges: &["SELECT", "INSERT", "UPDATE", "DELETE"],
            texts: &["payment_provider_id"],
            numbers: &["amount", "payment_provider_fee", "api_sync_version"],
            owned: &TRANSACTION,
            beside: &["last_api_sync_at", "processed_at", "api_sync_version"],
            insert: reach::TRANSACTION,
            deletes: true,
        },
        Written {
            name: &target.enrollments,
            privileges: &["SELECT", "INSERT", "UPDATE"],
            texts: &[],
            numbers: &[],
            owned: &ENROLLMENT,
            beside: &["metadata", "created_at", "updated_at"],
            insert: "",
            deletes: false,
        },
    ]
}

impl Written<'_> {
    async fn findings(&self, client: &Client, role: &str, tries: bool) -> Result<Vec<Finding>> {
        let (name, quoted) = (self.name, self.name.quoted());
        let written: Vec<&str> = self.owned.iter().chain(self.beside).copied().collect();
        let params: [crate::pg::Param<'_>; 5] =
            [&quoted, &self.privileges, &self.texts, &self.numbers, &written];
        let row = client.query_opt(include_str!("sql/target_table.sql"), &params).await;
        // What is missing is made, or named, by others.
        let Some(row) = row.context("target: reading a table")? else { return Ok(Vec::new()) };
        let (lacking, hides): (Vec<String>, bool) = (row.get(0), row.get(1));
        let (unfit, computed): (Vec<String>, Vec<String>) = (row.get(2), row.get(3));
        let mut findings = Vec::new();
        let check = format!("target.{}", name.name);
        if !lacking.is_empty() {
            let lacking = lacking.join(", ");
            findings.push(Finding::failed(
                format!("{check}.privileges"),
                format!("the role {role} lacks {lacking} on {name}"),
                format!("run on the target: GRANT {lacking} ON {quoted} TO {role};"),
            ));
        }
        if !unfit.is_empty() {
            let unfit = unfit.join(", ");
            findings.push(Finding::failed(
                format!("{check}.types"),
                format!("columns of {name} have types that no value of theirs fits: {unfit}"),
                format!(
                    "run on the target, by column: ALTER TABLE {quoted} ALTER COLUMN … TYPE text (numeric for amounts, \
                     int for api_sync_version); or name another table in the [target] section"
                ),
            ));
        }
        if !computed.is_empty() {
            findings.push(self.computed(&computed));
        }
        if findings.is_empty() && (hides || tries) && self.is_unreached(client).await? {
            findings.push(Finding::failed(
                format!("{check}.rows"),
                reach::problem(&name.to_string()),
                reach::remedy(&quoted, role),
            ));
        }
        if findings.is_empty() {
            findings.push(Finding::passed(check, format!("{name} can be written")));
        }
        Ok(findings)
    }

    /// A column that the server computes cannot be written (SPEC §2).
    fn computed(&self, columns: &[String]) -> Finding {
        let (name, columns) = (self.name, columns.join(", "));
        Finding::failed(
            format!("target.{}.generated", name.name),
            format!("columns of {name} that the daemon writes are generated: {columns}"),
            format!(
                "run on the target, by column: ALTER TABLE {} ALTER COLUMN … DROP EXPRESSION (or DROP IDENTITY); or name \
                 another table in the [target] section",
                name.quoted()
            ),
        )
    }

    async fn is_unreached(&self, client: &Client) -> Result<bool> {
        let table = &self.name.quoted();
        let trial = reach::Trial { table, insert: self.insert, deletes: self.deletes };
        trial.is_unreached(client).await
    }
}

/// The first point that does not hold, as what `run` meets: it stays up until it is fixed, unless another server or database
/// must be named.
pub(crate) fn require(server: error::Server, findings: Vec<Finding>) -> Result<()> {
    let Some(failed) = findings.into_iter().find(|finding| !finding.ok) else { return Ok(()) };
    let problem = format!("{}: {}", server.as_str(), failed.detail);
    let remedy = failed.remedy.unwrap_or_default();
    Err(if failed.needs_configuration {
        Error::Refused { problem, remedy }
    } else {
        Error::Gone { problem, remedy }
    })
}
