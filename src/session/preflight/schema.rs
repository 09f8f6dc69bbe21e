//! The daemon's own schema and the tables of the application, as `migrate` would find or make them (SPEC §2, §10).

use tokio_postgres::Row;

use crate::config::{Config, quote_identifier};
use crate::error::{Context, Result};
use crate::migrate::{self, foresight};
use crate::pg::Client;
use crate::source::Finding;
use crate::targets::Tables;

/// What stands against migrating the target, or against working with it as it was migrated.
///
/// # Errors
/// The target is away.
pub async fn schema(target: &Client, config: &Config) -> Result<Vec<Finding>> {
    let row = target.query_one(include_str!("../sql/own_schema.sql"), &[]).await;
    let row = row.context("target: reading privileges")?;
    let mut findings = vec![writable(&row), temporary(&row)];
    findings.push(own(target, config, &row).await?);
    if findings.iter().all(|finding| finding.ok) {
        findings.extend(tables(target, config).await?);
    }
    Ok(findings)
}

fn writable(row: &Row) -> Finding {
    if row.get("standby") {
        let problem = "is a standby: nothing can be written";
        return Finding::failed("target", problem, "name the primary server");
    }
    Finding::passed("target", "can be written")
}

/// What is fetched for a batch is compared in temporary tables.
fn temporary(row: &Row) -> Finding {
    const NAME: &str = "target.temporary";
    if row.get("may_make_temporary") {
        return Finding::passed(NAME, "the role may make temporary tables");
    }
    let role = quote_identifier(&row.get::<_, String>("role"));
    let database = quote_identifier(&row.get::<_, String>("database"));
    Finding::failed(
        NAME,
        format!("the role {role} may not make temporary tables"),
        format!("run on the target: GRANT TEMPORARY ON DATABASE {database} TO {role};"),
    )
}

/// Schema `tributary`, or as it is called.
async fn own(target: &Client, config: &Config, row: &Row) -> Result<Finding> {
    const NAME: &str = "target schema";
    let (name, quoted) = (config.target.schema.name(), config.target.schema.quoted());
    let role = quote_identifier(&row.get::<_, String>("role"));
    let (has_schema, migrated): (bool, bool) = (row.get("has_schema"), row.get("migrated"));
    let migrates = config.run.migrate;
    if !row.get::<_, bool>("may_use") || migrates && !row.get::<_, bool>("may_migrate") {
        return Ok(Finding::failed(
            NAME,
            format!(
                "the role may not use schema {name}, or not create in it though run.migrate is true"
            ),
            format!("run on the target: GRANT ALL ON SCHEMA {quoted} TO {role};"),
        ));
    }
    if !migrated {
        return Ok(if migrates && (has_schema || row.get("may_create")) {
            Finding::passed(NAME, format!("schema {name} is missing; `run` makes it"))
        } else {
            Finding::failed(
                NAME,
                format!("schema {name} is missing"),
                "run `tributary migrate` with a role that may create it",
            )
        });
    }
    let newer = Finding::of(NAME, "", migrate::refuse_newer(target).await)?;
    if !newer.ok {
        return Ok(newer);
    }
    let closed: Vec<String> = row.get("closed");
    if !closed.is_empty() {
        return Ok(Finding::failed(
            NAME,
            format!(
                "the role {role} may not read and write all of schema {name}: {}",
                closed.join(", ")
            ),
            format!(
                "run on the target: GRANT SELECT, INSERT, UPDATE, DELETE ON ALL TABLES IN SCHEMA {quoted} TO {role}; GRANT \
                 USAGE, SELECT ON ALL SEQUENCES IN SCHEMA {quoted} TO {role};"
            ),
        ));
    }
    let (found, known) = migrate::versions(target).await?;
    let is_older = found.is_some_and(|found| found < known);
    if is_older && migrates && !row.get::<_, bool>("owns") {
        return Ok(Finding::failed(
            NAME,
            format!(
                "schema {name} is older than this version, and the role {role} does not own its tables"
            ),
            "run `tributary migrate` once with the role that owns them",
        ));
    }
    if !migrates {
        return Finding::of(
            NAME,
            format!("schema {name} is up to date"),
            crate::session::require_schema(target).await,
        );
    }
    Ok(Finding::passed(
        NAME,
        if is_older {
            format!("schema {name} is older than this version; `run` brings it up to date")
        } else {
            format!("schema {name} exists")
        },
    ))
}

/// The tables of the application and the courses.
async fn tables(target: &Client, config: &Config) -> Result<Vec<Finding>> {
    let (mut findings, complete) = foresight::target_tables(target, config).await?;
    if findings.iter().any(|finding| !finding.ok) {
        return Ok(findings);
    }
    let ids = Tables::require_ids(target, &config.target).await;
    findings.push(Finding::of("target.ids", "the ids of the target tables are uuids", ids)?);
    if complete && config.run.migrate {
        findings.push(foresight::courses(target, config).await?);
    }
    Ok(findings)
}
