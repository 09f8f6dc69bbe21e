//! `tributary check`: preflight of configuration, both servers, privileges, replica identity, slot.

use std::process::ExitCode;

use super::output;
use crate::config::{Config, Server, quote_identifier};
use crate::connect::connect;
use crate::error::{self, Context, Error, Result};
use crate::session;
use crate::session::preflight::connections;
use crate::source::{Finding, preflight, slot};

/// Runs every check and prints each.
///
/// # Errors
/// A server that is away.
pub(super) async fn run(config: &Config) -> Result<ExitCode> {
    let mut findings = vec![Finding::passed("configuration", "read and valid")];
    crate::connect::warn_of_plaintext(config);
    let source = reached("source", &config.source.server, &mut findings).await?;
    let target = reached("target", &config.target.server, &mut findings).await?;
    if let Some(source) = &source {
        findings.extend(connections(source, &config.source.server, error::Server::Source).await?);
        findings.extend(preflight(source, &config.source).await?);
    }
    if let Some(target) = &target {
        findings.extend(connections(target, &config.target.server, error::Server::Target).await?);
        findings.extend(target_findings(target, config).await?);
        findings.push(privacy(target, config.target.schema.name()).await?);
        findings.extend(session::preflight::target(target, config, true).await?);
    }
    if let (Some(source), Some(target)) = (&source, &target) {
        findings.extend(slot_of_another(source, target, config).await?);
    }
    output::print(&findings.iter().map(render).collect::<String>())?;
    Ok(output::exit(findings.iter().all(|finding| finding.ok)))
}

fn render(finding: &Finding) -> String {
    let Finding { name, detail, .. } = finding;
    match &finding.remedy {
        _ if finding.ok => format!("ok   {name}: {detail}\n"),
        Some(remedy) => format!("FAIL {name}: {detail}\n     remedy: {remedy}\n"),
        None => format!("FAIL {name}: {detail}\n"),
    }
}

/// A session, or the finding that the server is there and does not let us in.
async fn reached(
    name: &'static str,
    server: &Server,
    findings: &mut Vec<Finding>,
) -> Result<Option<crate::pg::Client>> {
    let patience = crate::retry::COMMAND_PATIENCE;
    match crate::retry::within(patience, || connect(server, "tributary check", name)).await {
        Ok(client) => Ok(Some(client)),
        Err(error) if error.is_retryable() => Err(error),
        Err(error) => {
            let remedy = format!(
                "correct database, role or password in the [{name}] section, or create them there"
            );
            findings.push(Finding::failed(name, error.to_string(), remedy));
            Ok(None)
        }
    }
}

/// The schema must be of this slot, and a slot that exists already this target's own.
async fn slot_of_another(
    source: &crate::pg::Client,
    target: &crate::pg::Client,
    config: &Config,
) -> Result<Option<Finding>> {
    let name = &config.source.slot;
    match session::refuse_another_slot(target, config).await {
        Err(Error::Refused { problem, remedy }) => {
            return Ok(Some(Finding::failed("target.installation", problem, remedy)));
        }
        other => other?,
    }
    if slot::state(source, name).await?.is_none() {
        return Ok(None);
    }
    let privileges = include_str!("sql/target_privileges.sql");
    let row = target.query_one(privileges, &[]).await.context("target: reading privileges")?;
    let (migrated, may_use): (bool, bool) = (row.get(1), row.get(3));
    if !may_use || migrated && session::knows_slot(target, name).await? {
        return Ok(None);
    }
    Ok(match session::unknown_slot(name) {
        Error::Refused { problem, remedy } => {
            Some(Finding::failed("target.checkpoint", problem, remedy))
        }
        _ => None,
    })
}

/// The stored rows are those of customers: nobody reads them but the daemon's own roles.
async fn privacy(target: &crate::pg::Client, schema: &str) -> Result<Finding> {
    let row = target.query_one(include_str!("sql/opened.sql"), &[&schema]).await;
    let revokes: Vec<String> = row.context("target: reading the grants")?.get(0);
    let check = "target.privacy";
    if revokes.is_empty() {
        return Ok(Finding::passed(check, "schema tributary is open to no other role"));
    }
    Ok(Finding::failed(
        check,
        "grants open schema tributary, which holds rows of customers, to PUBLIC, anon or authenticated",
        format!("run on the target: {}", revokes.join(" ")),
    ))
}

async fn target_findings(target: &crate::pg::Client, config: &Config) -> Result<Vec<Finding>> {
    let row = target
        .query_one(include_str!("sql/target_privileges.sql"), &[])
        .await
        .context("target: reading privileges")?;
    let (create, migrated, standby): (bool, bool, bool) = (row.get(0), row.get(1), row.get(2));
    let (may_use, may_migrate): (bool, bool) = (row.get(3), row.get(4));
    let (has_schema, role): (bool, String) = (row.get(5), row.get(6));
    let schema = config.target.schema.name();
    let mut findings = Vec::new();
    findings.push(if standby {
        Finding::failed("target", "is a standby: nothing can be written", "name the primary server")
    } else {
        Finding::passed("target", "can be written")
    });
    findings.push(if !may_use || config.run.migrate && !may_migrate {
        let role = quote_identifier(&role);
        Finding::failed(
            "target schema",
            format!("the role may not use schema {schema}, or not create in it though run.migrate is true"),
            format!("run on the target: GRANT ALL ON SCHEMA {} TO {role};", config.target.schema.quoted()),
        )
    } else if migrated {
        Finding::passed("target schema", format!("schema {schema} exists"))
    } else if (create || has_schema) && config.run.migrate {
        Finding::passed("target schema", format!("schema {schema} is missing; `run` makes it"))
    } else {
        Finding::failed(
            "target schema",
            format!("schema {schema} is missing"),
            "run `tributary migrate` with a role that may create it",
        )
    });
    Ok(findings)
}
