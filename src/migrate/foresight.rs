//! What [`super::migrate`] would do to the target tables, and what stands against it, without doing it: for `check` (SPEC §9).

use tokio_postgres::error::SqlState;

use super::How;
use super::tables::{self, TargetTable};
use crate::config::{Config, TableName, quote_identifier};
use crate::error::{Context, Result};
use crate::pg::Client;
use crate::source::Finding;

/// The points about the target tables, in the order of SPEC §2, and whether all of them have all of their columns.
pub(crate) async fn target_tables(
    client: &Client,
    config: &Config,
) -> Result<(Vec<Finding>, bool)> {
    let (mut findings, mut complete) = (Vec::new(), true);
    for table in tables::all(&config.target) {
        let seen = Seen::read(client, &table).await?;
        complete &= seen.may_use && seen.missing.is_empty();
        findings.push(seen.judge(&table.name, config.run.migrate));
    }
    Ok((findings, complete))
}

/// Whether the configured courses could be added. They are, in a transaction that is rolled back.
pub(crate) async fn courses(client: &Client, config: &Config) -> Result<Finding> {
    const WHAT: &str = "target: trying to add the courses";
    const NAME: &str = "target.courses";
    client.batch_execute("begin; set local lock_timeout = '2s'").await.context(WHAT)?;
    let tried =
        super::courses(client, &config.target.courses, &config.rules.products, How::Copies).await;
    client.batch_execute("rollback").await.context(WHAT)?;
    let table = &config.target.courses;
    match tried {
        Ok(added) => Ok(Finding::passed(
            NAME,
            match added.len() {
                0 => format!("{table} has every configured course"),
                missing => format!("{missing} courses are missing in {table}; `migrate` adds them"),
            },
        )),
        Err(error) if error.code() == Some(&SqlState::INSUFFICIENT_PRIVILEGE) => {
            let remedy = "run `tributary migrate` once with a role that may, and set run.migrate = false; or: GRANT SELECT, \
                          INSERT ON the table TO the role of the target URL";
            Ok(Finding::failed(NAME, format!("the role may not add courses to {table}"), remedy))
        }
        // The application holds its lock: that says nothing.
        Err(error) if error.code() == Some(&SqlState::LOCK_NOT_AVAILABLE) => {
            Ok(Finding::passed(NAME, format!("{table} is locked by somebody; not tried")))
        }
        Err(error) => Finding::of(NAME, "", Err(error)),
    }
}

/// A target table as it is found.
struct Seen {
    may_use: bool,
    may_make: bool,
    is_there: bool,
    owns: bool,
    /// Or a materialised view, or a foreign table.
    is_view: bool,
    /// Columns that it lacks; all of them where it is not there.
    missing: Vec<&'static str>,
    /// Columns that lack their index.
    unindexed: Vec<&'static str>,
    /// Quoted.
    role: String,
}

impl Seen {
    async fn read(client: &Client, table: &TargetTable) -> Result<Self> {
        let TableName { schema, name } = &table.name;
        let row = client.query_one(include_str!("sql/table.sql"), &[schema, name]).await;
        let row = row.context("target: looking at a table")?;
        let (columns, indexed): (Vec<String>, Vec<String>) =
            (row.get("columns"), row.get("indexed"));
        let lacks = |list: &[String], name: &str| list.iter().all(|there| there != name);
        let names = table.columns.iter().map(|column| column.name);
        Ok(Self {
            may_use: row.get("may_use"),
            may_make: row.get("may_make"),
            is_there: row.get("is_there"),
            owns: row.get("owns"),
            is_view: row.get("is_view"),
            missing: names.filter(|name| lacks(&columns, name)).collect(),
            unindexed: table.indexed.iter().copied().filter(|name| lacks(&indexed, name)).collect(),
            role: quote_identifier(&row.get::<_, String>("role")),
        })
    }

    fn judge(&self, name: &TableName, migrates: bool) -> Finding {
        let check = format!("target.{}.columns", name.name);
        let role = &self.role;
        let missing = self.missing.join(", ");
        let lacking = [self.missing.as_slice(), &self.unindexed].concat();
        if !self.may_use {
            let schema = quote_identifier(&name.schema);
            return Finding::failed(
                check,
                format!("the role {role} may not use the schema {}", name.schema),
                format!("run on the target: GRANT USAGE ON SCHEMA {schema} TO {role};"),
            );
        }
        if self.is_view && migrates && !lacking.is_empty() {
            let (problem, remedy) = super::no_table(name, &lacking.join(", "));
            return Finding::failed(check, problem, remedy);
        }
        let by_another =
            "run `tributary migrate` once with a role that may, and set run.migrate = false";
        match (self.is_there, migrates) {
            (false, true) if self.may_make => {
                Finding::passed(check, format!("{name} is missing; `run` makes it"))
            }
            (false, true) => {
                let problem = format!("{name} is missing, and the role {role} may not make it");
                Finding::failed(check, problem, by_another)
            }
            (false, false) => Finding::failed(
                check,
                format!("the target table {name} does not exist"),
                "run `tributary migrate`, or correct its name in the [target] section",
            ),
            (true, true) if !self.owns && !lacking.is_empty() => {
                let lacking = lacking.join(", ");
                Finding::failed(
                    check,
                    format!(
                        "{name} lacks columns or their indexes, and the role {role} does not own it: {lacking}"
                    ),
                    format!(
                        "let the role own the table (ALTER TABLE {} OWNER TO {role};), or {by_another}",
                        name.quoted()
                    ),
                )
            }
            (true, true) if !self.missing.is_empty() => {
                Finding::passed(check, format!("{name} lacks columns, which `run` adds: {missing}"))
            }
            (true, false) if !self.missing.is_empty() => Finding::failed(
                check,
                format!("the target table {name} has no column {missing}"),
                "run `tributary migrate`: it adds missing columns",
            ),
            (true, _) => Finding::passed(check, format!("{name} has every column")),
        }
    }
}
