//! What commands need that work on the target alone, such as `import`: no source has to be configured for them.

use std::path::Path;

use jiff::tz::TimeZone;
use toml::Table;

use super::environment::{Environment, interpolate};
use super::load::{Place, connection, overrides, schema, text_of};
use super::section::{Problems, Section};
use super::{Backups, Config, Server, http, rules, safety};
use crate::error::{Error, Result};
use crate::rules::Rules;

/// The sections that are read. Others may be missing, or refer to variables that are not set.
const SECTIONS: [&str; 4] = ["target", "backup", "log", "rules"];

/// The target, and how to treat it.
#[derive(Debug, Clone)]
pub struct TargetOnly {
    /// How to connect.
    pub server: Server,
    /// Copies that are taken before anything is written.
    pub backup: Backups,
    /// What is logged.
    pub log_level: Option<String>,
    /// Of times in output.
    pub zone: TimeZone,
}

impl Config {
    /// Reads the target alone, from where [`Config::load`] reads everything: `TRIBUTARY_TARGET_URL` is enough.
    ///
    /// # Errors
    /// As [`Config::load`].
    pub fn target_only(path: Option<&Path>, env: Environment<'_>) -> Result<TargetOnly> {
        let (text, file) = text_of(path, env)?;
        read(&text, file.as_deref(), env)
    }
}

fn read(text: &str, file: Option<&Path>, env: Environment<'_>) -> Result<TargetOnly> {
    let name = file.map_or_else(|| "the configuration".into(), |file| file.display().to_string());
    let mut table: Table =
        text.parse().map_err(|error| super::load::syntax_error(&name, text, &error))?;
    table.retain(|section, _| SECTIONS.contains(&section));
    if let Some(rules) = table.get_mut("rules").and_then(|rules| rules.as_table_mut()) {
        rules.retain(|key, _| key == "time_zone");
    }
    let mut problems = Problems::default();
    let overrides = overrides(env);
    let paths: Vec<&str> = overrides.iter().map(|(path, _)| *path).collect();
    interpolate(&mut table, &paths, env, &mut problems);
    let mut root = Section::root(&table);
    let place = Place { file, overrides: &overrides, env };
    let mut target = root.section("target", &mut problems);
    let schema = schema(&mut target, &mut problems);
    let server = connection(&mut target, &place, &mut problems);
    let backup = safety::backup(root.section("backup", &mut problems), &mut problems);
    let log_level = http::log_level(root.section("log", &mut problems), &mut problems);
    let zone = rules::zone(&mut root.section("rules", &mut problems), &mut problems);
    let zone = zone.unwrap_or(Rules::default().zone);
    match server {
        Some((server, _)) if problems.reported.is_empty() => {
            Ok(TargetOnly { server: Server { schema, ..server }, backup, log_level, zone })
        }
        _ => Err(Error::Config(format!("{name}:\n  {}", problems.reported.join("\n  ")))),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const URL: &str = "postgres://ana@localhost/target";

    #[test]
    fn the_url_of_the_target_is_enough() {
        let env = |name: &str| (name == "TRIBUTARY_TARGET_URL").then(|| URL.to_owned());
        let found = read("[source]\nurl = \"${SOURCE_URL}\"\n", None, &env).unwrap();
        assert_eq!(found.server.postgres.get_dbname(), Some("target"));
        let text = format!(
            "[target]\nurl = \"{URL}\"\nschema = \"other\"\nprofiles = \"public.p\"\n[backup]\nkeep = 7"
        );
        let found = read(&text, None, &|_| None).unwrap();
        assert_eq!((found.server.schema.name(), found.backup.keep), ("other", 7));
    }

    #[test]
    fn a_problem_of_the_target_is_reported_and_none_of_the_source() {
        let error = read("[source]\nx = 1\n", None, &|_| None).unwrap_err().to_string();
        assert!(error.contains("target.url: is missing"), "{error}");
        assert!(!error.contains("source"), "{error}");
    }
}
