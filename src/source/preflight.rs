//! What must hold before the source can be followed, each failure with its remedy (`check`, SPEC §9).

use std::sync::Arc;

use tokio_postgres::Row;

use super::{Stream, identity, layout, publication, slot};
use crate::config::{FeedConfig, Source};
use crate::engine::FeedEntry;
use crate::error::{Context, Error, Result};
use crate::facts::{Feed, FeedInfo, FeedKind};
use crate::pg::Client;

/// The oldest major version that is followed: 14 brought reads by ranges of `ctid`.
const OLDEST_VERSION: i32 = 14;

/// The outcome of one check.
#[derive(Debug, Clone, PartialEq, Eq, serde::Serialize)]
pub struct Finding {
    /// A short stable name, such as `source.wal_level`.
    pub name: String,
    /// Whether it holds.
    pub ok: bool,
    /// What was found, as a sentence without its full stop.
    pub detail: String,
    /// What to run or change; present where it does not hold.
    pub remedy: Option<String>,
    /// Whether another server or database must be named: nothing that is done on the servers makes it hold.
    #[serde(skip)]
    pub needs_configuration: bool,
}

impl Finding {
    /// A check that holds.
    pub fn passed(name: impl Into<String>, detail: impl Into<String>) -> Self {
        let (name, detail) = (name.into(), detail.into());
        Self { name, ok: true, detail, remedy: None, needs_configuration: false }
    }

    /// A check that does not hold.
    pub fn failed(
        name: impl Into<String>,
        detail: impl Into<String>,
        remedy: impl Into<String>,
    ) -> Self {
        let (name, detail, remedy) = (name.into(), detail.into(), Some(remedy.into()));
        Self { name, ok: false, detail, remedy, needs_configuration: false }
    }

    /// What a step of `run` would refuse, as a point: it passes with `detail`, or fails as that step does.
    ///
    /// # Errors
    /// Those that say nothing of it, such as a server that is away.
    pub fn of(
        name: impl Into<String>,
        detail: impl Into<String>,
        outcome: Result<()>,
    ) -> Result<Self> {
        match outcome {
            Ok(()) => Ok(Self::passed(name, detail)),
            Err(Error::Refused { problem, remedy } | Error::Gone { problem, remedy }) => {
                Ok(Self::failed(name, problem, remedy))
            }
            Err(Error::Config(text)) => {
                let (problem, remedy) =
                    text.split_once("\n  remedy: ").unwrap_or((&text, "correct the configuration"));
                Ok(Self::failed(name, problem, remedy))
            }
            Err(other) => Err(other),
        }
    }

    /// The same; where it does not hold, another server or database must be named.
    #[must_use]
    pub fn by_configuration_alone(self) -> Self {
        Self { needs_configuration: !self.ok, ..self }
    }

    /// Holds with `detail`, or not with `remedy`.
    pub fn judged(
        name: &str,
        ok: bool,
        detail: impl Into<String>,
        remedy: impl Into<String>,
    ) -> Self {
        if ok { Self::passed(name, detail) } else { Self::failed(name, detail, remedy) }
    }
}

/// Checks the source: server, role, tables, replica identity, publication, slot. Changes nothing.
///
/// # Errors
///
/// The source is away. A check that fails is a finding, not an error.
pub async fn preflight(client: &Client, source: &Source) -> Result<Vec<Finding>> {
    let sql = include_str!("sql/server.sql");
    let row = client.query_one(sql, &[&source.slot]).await.context("source: reading settings")?;
    let mut findings = server(&row);
    findings.push(role(&row));
    let mut tables_found = true;
    for feed in &source.feeds {
        let found = table(client, feed).await?;
        tables_found &= found.first().is_some_and(|finding| finding.ok);
        findings.extend(found);
    }
    if tables_found {
        findings.extend(published(client, source, &row).await?);
    }
    findings.push(slot_finding(client, source).await?);
    if findings.iter().all(|finding| finding.ok) {
        findings.push(replication(source).await);
    }
    Ok(findings)
}

/// A replication connection is authenticated and encrypted by itself: other lines of pg_hba.conf, another library.
async fn replication(source: &Source) -> Finding {
    const NAME: &str = "source.replication";
    match Stream::try_out(&source.server, &source.slot, &source.publication).await {
        Ok(()) => Finding::passed(NAME, "a replication connection can be opened"),
        Err(error) => {
            let remedy = "let pg_hba.conf of the source accept the role from here also for replication; and have the \
                          server's certificate signed by an authority, which sslrootcert names";
            Finding::failed(NAME, error.to_string(), remedy)
        }
    }
}

fn server(row: &Row) -> Vec<Finding> {
    let number: i32 = row.get("version_number");
    let (version, standby): (String, bool) = (row.get("version"), row.get("standby"));
    let wal_level: String = row.get("wal_level");
    let (slots, max_slots): (i64, i32) = (row.get("slots"), row.get("max_slots"));
    let (senders, max_senders): (i64, i32) = (row.get("senders"), row.get("max_senders"));
    let has_slot: bool = row.get("has_slot");
    let oldest = if standby { 16 } else { OLDEST_VERSION };
    vec![
        Finding::judged(
            "source.version",
            number / 10_000 >= oldest,
            format!("PostgreSQL {version}{}", if standby { ", a standby" } else { "" }),
            format!("use PostgreSQL {OLDEST_VERSION} or later (16 where the source is a standby)"),
        ),
        Finding::judged(
            "source.wal_level",
            wal_level == "logical",
            format!("wal_level is {wal_level}"),
            "run on the source: ALTER SYSTEM SET wal_level = 'logical'; and restart it",
        ),
        Finding::judged(
            "source.slots",
            has_slot || slots < i64::from(max_slots),
            format!("{slots} of {max_slots} replication slots are in use"),
            "drop a slot that nobody needs, or raise max_replication_slots and restart the source",
        ),
        Finding::judged(
            "source.wal_senders",
            row.get("is_streaming") || senders < i64::from(max_senders),
            format!("{senders} of {max_senders} WAL senders are in use"),
            "raise max_wal_senders and restart the source",
        ),
    ]
}

fn role(row: &Row) -> Finding {
    const NAME: &str = "source.role";
    let role: String = row.get("role");
    if row.get("may_replicate") {
        return Finding::passed(NAME, format!("the role {role} may replicate"));
    }
    let quoted = crate::config::quote_identifier(&role);
    let remedy = format!(
        "run on the source: ALTER ROLE {quoted} REPLICATION; (on a managed server grant its replication role, such as rds_replication)"
    );
    Finding::failed(NAME, format!("the role {role} may not replicate"), remedy)
}

/// The table and its columns, the privileges on them, and the replica identity.
async fn table(client: &Client, feed: &FeedConfig) -> Result<Vec<Finding>> {
    let name = &format!("source.{}", feed.name);
    let table = &feed.table;
    // What is stored under is not asked here: any number does.
    let info = Arc::new(FeedInfo {
        feed: Feed::new(0),
        name: feed.name.clone(),
        kind: feed.fields.kind(),
        primary: feed.primary,
        provider: feed.provider.as_str().into(),
        rank: feed.rank,
    });
    let columns = match layout(client, feed, &info).await {
        Ok(layout) => FeedEntry { info, layout }.columns().list.clone(),
        Err(Error::Config(problem)) => {
            let remedy = "correct the table and column names in the configuration";
            return Ok(vec![Finding::failed(name, problem, remedy)]);
        }
        Err(error) => return Err(error),
    };
    let mut findings = vec![Finding::passed(name, described(feed))];
    let names: Vec<&str> = columns.iter().map(|column| column.name.as_str()).collect();
    let sql = include_str!("sql/privileges.sql");
    let row = client.query_one(sql, &[&table.schema, &table.name, &names]).await;
    let row = row.context("source: reading privileges")?;
    let (schema, forbidden, hidden_rows, role): (bool, Option<String>, bool, String) =
        (row.get(0), row.get(1), row.get(2), row.get(3));
    let role = crate::config::quote_identifier(&role);
    let check = format!("{name}.privileges");
    findings.push(if !schema {
        let grant = format!(
            "run on the source: GRANT USAGE ON SCHEMA {} TO {role};",
            crate::config::quote_identifier(&table.schema)
        );
        Finding::failed(check, format!("the role may not use the schema {}", table.schema), grant)
    } else if let Some(column) = forbidden {
        let grant = format!("run on the source: GRANT SELECT ON {} TO {role};", table.quoted());
        Finding::failed(check, format!("the role may not read {table}, column {column}"), grant)
    } else if hidden_rows {
        let remedy = format!("run on the source: ALTER ROLE {role} BYPASSRLS;");
        Finding::failed(check, format!("row-level security hides rows of {table}"), remedy)
    } else {
        Finding::passed(check, format!("the role may read {table}"))
    });
    let check = format!("{name}.replica_identity");
    findings.push(match identity::problem(client, feed).await? {
        Some(found) => Finding::failed(check, found.problem, found.remedy),
        None => {
            let identity = identity::described(client, feed).await?;
            let found = format!("the replica identity of {table} holds the key: {identity}");
            Finding::passed(check, found)
        }
    });
    Ok(findings)
}

/// A feed in one line: what it is, where, by which key, and which columns give what.
fn described(feed: &FeedConfig) -> String {
    let columns: Vec<String> = feed
        .fields
        .named()
        .into_iter()
        .map(|(field, sources)| format!("{field} = {}", crate::config::written_sources(sources)))
        .collect();
    format!(
        "{}{} of {}, rank {}: table {}, key {}, columns {}",
        if feed.primary { "primary " } else { "" },
        match feed.fields.kind() {
            FeedKind::Contact => "contacts",
            FeedKind::Payment => "payments",
        },
        feed.provider,
        feed.rank,
        feed.table,
        feed.key.join(", "),
        columns.join("; ")
    )
}

async fn published(client: &Client, source: &Source, row: &Row) -> Result<Vec<Finding>> {
    const NAME: &str = "source.publication";
    let publication = &source.publication;
    if let Some(problems) = publication::problems(client, source).await? {
        if problems.is_empty() {
            let detail = format!("the publication {publication} holds every table");
            return Ok(vec![Finding::passed(NAME, detail)]);
        }
        let finding = |found: identity::Problem| Finding::failed(NAME, found.problem, found.remedy);
        return Ok(problems.into_iter().map(finding).collect());
    }
    let schemas: Vec<&str> = source.feeds.iter().map(|feed| feed.table.schema.as_str()).collect();
    let names: Vec<&str> = source.feeds.iter().map(|feed| feed.table.name.as_str()).collect();
    let sql = include_str!("sql/may_publish.sql");
    let may = client.query_one(sql, &[&schemas, &names]).await;
    let may: bool = may.context("source: reading privileges")?.get(0);
    let standby: bool = row.get("standby");
    let creation = publication::creation(client, source).await?;
    let (detail, place) = if standby {
        (format!("the publication {publication} is missing"), "on the source's primary")
    } else if may {
        (format!("the publication {publication} will be made"), "on the source")
    } else {
        let missing =
            format!("the publication {publication} is missing and the role may not make it");
        (missing, "on the source as the owner of the tables")
    };
    Ok(vec![Finding::judged(NAME, may && !standby, detail, format!("run {place}: {creation}"))])
}

async fn slot_finding(client: &Client, source: &Source) -> Result<Finding> {
    const NAME: &str = "source.slot";
    let slot = &source.slot;
    if let Err(error) = slot::check_name(slot) {
        return Ok(Finding::failed(NAME, error.to_string(), "choose another name"));
    }
    let Some(state) = slot::state(client, slot).await? else {
        return Ok(Finding::passed(NAME, format!("the slot {slot} will be made")));
    };
    let other = "configure another slot name, or drop this slot if nobody needs it";
    if state.plugin.as_deref() != Some("pgoutput") {
        let plugin = state.plugin.as_deref().unwrap_or("none, as it is a physical slot");
        return Ok(Finding::failed(
            NAME,
            format!("the slot {slot} has the plugin {plugin}"),
            other,
        ));
    }
    let sql = "select current_database()::text,
        (select application_name from pg_stat_activity where pid = $1)";
    let row =
        client.query_one(sql, &[&state.active_pid]).await.context("source: reading the slot")?;
    let (database, reader): (String, Option<String>) = (row.get(0), row.get(1));
    if state.database.as_deref() != Some(&database) {
        return Ok(Finding::failed(NAME, format!("the slot {slot} is of another database"), other));
    }
    if state.invalidated {
        let detail = format!("the slot {slot} is lost: the log it needs is gone");
        let remedy = "run tributary, which makes a new slot and reads the tables again; then raise max_slot_wal_keep_size on the source, or keep the daemon running";
        return Ok(Finding::failed(NAME, detail, remedy));
    }
    if state.wal_status.as_deref() == Some("unreserved") {
        let detail =
            format!("the slot {slot} is about to be lost: it is past max_slot_wal_keep_size");
        let remedy = "run tributary now so that it catches up, and raise max_slot_wal_keep_size on the source";
        return Ok(Finding::failed(NAME, detail, remedy));
    }
    let detail = match (state.active_pid, reader) {
        (Some(pid), Some(reader)) if !reader.starts_with("tributary") => {
            let detail = format!("the slot {slot} is being read by process {pid} ({reader})");
            return Ok(Finding::failed(NAME, detail, format!("stop that reader, or {other}")));
        }
        (Some(pid), _) => format!("the slot {slot} is being read by process {pid}"),
        (None, _) => format!("the slot {slot} is ready"),
    };
    Ok(Finding::passed(NAME, detail))
}
