//! `tributary check`: preflight of configuration, both servers, privileges, replica identity, slot.

use std::process::ExitCode;

use crate::config::Config;
use crate::connect::connect;
use crate::error::{Context, Result};
use crate::source::{self, Finding, preflight};

/// Exit code when a point failed (SPEC §9).
const POINT_FAILED: u8 = 3;

/// Runs every check and prints each.
///
/// # Errors
/// A server that is away.
pub(super) async fn run(config: &Config) -> Result<ExitCode> {
    let patience = crate::retry::COMMAND_PATIENCE;
    let source = crate::retry::within(patience, || {
        connect(&config.source.server, "tributary check", "source")
    })
    .await?;
    let target = crate::retry::within(patience, || {
        connect(&config.target.server, "tributary check", "target")
    })
    .await?;
    let mut findings = vec![Finding::passed("configuration", "read and valid")];
    for checked in [
        source::layout(&source, &config.source.xendit).await.map(|_| "xendit columns"),
        source::layout(&source, &config.source.systemeio).await.map(|_| "systemeio columns"),
    ] {
        findings.push(match checked {
            Ok(name) => Finding::passed(name, "all configured columns exist"),
            Err(error) if error.is_retryable() => return Err(error),
            Err(error) => Finding::failed(
                "source columns",
                error.to_string(),
                "correct the name in the [source] section",
            ),
        });
    }
    findings.extend(preflight(&source, &config.source).await?);
    findings.extend(target_findings(&target, config).await?);
    for finding in &findings {
        println!(
            "{} {}: {}",
            if finding.ok { "ok  " } else { "FAIL" },
            finding.name,
            finding.detail
        );
        if let Some(remedy) = finding.remedy.as_ref().filter(|_| !finding.ok) {
            println!("     remedy: {remedy}");
        }
    }
    let passed = findings.iter().all(|finding| finding.ok);
    Ok(if passed { ExitCode::SUCCESS } else { ExitCode::from(POINT_FAILED) })
}

async fn target_findings(target: &tokio_postgres::Client, config: &Config) -> Result<Vec<Finding>> {
    let sql = "select has_database_privilege(current_database(), 'create'), \
               to_regclass('tributary.state') is not null, pg_is_in_recovery()";
    let row = target.query_one(sql, &[]).await.context("target: reading privileges")?;
    let (create, migrated, standby): (bool, bool, bool) = (row.get(0), row.get(1), row.get(2));
    let mut findings = Vec::new();
    findings.push(if standby {
        Finding::failed("target", "is a standby: nothing can be written", "name the primary server")
    } else {
        Finding::passed("target", "can be written")
    });
    findings.push(if migrated {
        Finding::passed("target schema", "schema tributary exists")
    } else if create && config.run.migrate {
        Finding::passed("target schema", "schema tributary is missing; `run` makes it")
    } else {
        Finding::failed(
            "target schema",
            "schema tributary is missing",
            "run `tributary migrate` with a role that may create it",
        )
    });
    Ok(findings)
}
