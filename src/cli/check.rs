//! `tributary check`: preflight of configuration, both servers, privileges, replica identity, slot.

use std::net::SocketAddr;
use std::process::ExitCode;

use super::Context as Invocation;
use super::output;
use crate::config::{Config, Server};
use crate::connect::connect;
use crate::error::{self, Context, Result};
use crate::pg::Client;
use crate::session::preflight::{self, connections};
use crate::source::{self, Finding};
use crate::{backup, http};

/// Check everything that `run` needs: configuration, both servers, privileges, tables, publication, slot, records
///
/// Each point that fails comes with its remedy; the exit code is then 3. Nothing is changed: what can only be tried is tried in a
/// transaction that is rolled back.
#[derive(Debug, clap::Args)]
pub(super) struct Args {
    /// Print the points as JSON: name, ok, detail, remedy
    #[arg(long)]
    json: bool,
}

/// Runs every check and prints each.
///
/// # Errors
/// A server that is away.
pub(super) async fn run(args: Args, context: &Invocation) -> Result<ExitCode> {
    let config = &context.config()?;
    crate::connect::warn_of_plaintext(config);
    let findings = findings(config).await?;
    if args.json {
        output::print(&output::json(&findings)?)?;
    } else {
        output::print(&findings.iter().map(render).collect::<String>())?;
    }
    Ok(output::exit(findings.iter().all(|finding| finding.ok)))
}

async fn findings(config: &Config) -> Result<Vec<Finding>> {
    let mut findings = vec![Finding::passed("configuration", "read and valid")];
    findings.push(listens(config.http_listen).await?);
    let source = reached("source", &config.source.server, &mut findings).await?;
    let target = reached("target", &config.target.server, &mut findings).await?;
    if let Some(source) = &source {
        findings.extend(connections(source, &config.source.server, error::Server::Source).await?);
        findings.extend(source::preflight(source, &config.source).await?);
    }
    let Some(target) = target else { return Ok(findings) };
    findings.extend(connections(&target, &config.target.server, error::Server::Target).await?);
    let schema = preflight::schema(&target, config).await?;
    let may_go_on = schema.iter().all(|finding| finding.ok);
    findings.extend(schema);
    findings.push(privacy(&target, config.target.schema.name()).await?);
    // What is looked at further on needs what failed before.
    if may_go_on {
        findings.extend(preflight::target(&target, config, true).await?);
        findings.extend(preflight::records(source.as_ref(), &target, config).await?);
        findings.push(backup::finding(target, config).await?);
    }
    Ok(findings)
}

fn render(finding: &Finding) -> String {
    let Finding { name, detail, .. } = finding;
    match &finding.remedy {
        _ if finding.ok => format!("ok   {name}: {detail}\n"),
        Some(remedy) => format!("FAIL {name}: {detail}\n     remedy: {remedy}\n"),
        None => format!("FAIL {name}: {detail}\n"),
    }
}

/// Whether `run` could listen there. A daemon that does so already is what a check beside it finds.
async fn listens(listen: SocketAddr) -> Result<Finding> {
    const NAME: &str = "http.listen";
    let taken = match http::bind(listen) {
        Ok(_) => return Ok(Finding::passed(NAME, format!("{listen} is free"))),
        Err(taken) => taken,
    };
    let answers = http::fetch(listen, "/livez", None).await;
    if answers.is_ok_and(|answer| http::is_of_a_daemon(&answer)) {
        return Ok(Finding::passed(NAME, format!("a tributary daemon listens on {listen}")));
    }
    Finding::of(NAME, "", Err(taken))
}

/// A session, or the finding that the server is there and does not let us in.
async fn reached(
    name: &'static str,
    server: &Server,
    findings: &mut Vec<Finding>,
) -> Result<Option<Client>> {
    let patience = crate::retry::COMMAND_PATIENCE;
    match crate::retry::within(patience, || connect(server, "tributary check", name)).await {
        Ok(client) => Ok(Some(client)),
        Err(error) if error.is_retryable() => Err(error),
        Err(error @ (error::Error::Refused { .. } | error::Error::Config(_))) => {
            findings.push(Finding::of(name, "", Err(error))?);
            Ok(None)
        }
        Err(error) => {
            let remedy = format!(
                "correct database, role or password in the [{name}] section, or create them there"
            );
            findings.push(Finding::failed(name, error.to_string(), remedy));
            Ok(None)
        }
    }
}

/// The stored rows are those of customers: nobody reads them but the daemon's own roles.
async fn privacy(target: &Client, schema: &str) -> Result<Finding> {
    let row = target.query_one(include_str!("sql/opened.sql"), &[&schema]).await;
    let revokes: Vec<String> = row.context("target: reading the grants")?.get(0);
    let check = "target.privacy";
    if revokes.is_empty() {
        return Ok(Finding::passed(check, format!("schema {schema} is open to no other role")));
    }
    Ok(Finding::failed(
        check,
        format!(
            "grants open schema {schema}, which holds rows of customers, to PUBLIC, anon or authenticated"
        ),
        format!("run on the target: {}", revokes.join(" ")),
    ))
}
