//! From a file to a [`Config`].

use std::path::{Path, PathBuf};
use std::time::Duration;

use toml::Table;

use super::environment::{Environment, interpolate, lookup};
use super::mapping::{table, written};
use super::previous;
use super::safety;
use super::section::{Problems, Section};
use super::server::{Pieces, Shown, server};
use super::{
    AuthUsers, Config, FeedConfig, Guard, Origins, Run, Schema, Server, Source, TableName, Target,
    rules,
};
use crate::error::{Error, Result};

/// What is read where nothing else is named.
const DEFAULT_FILE: &str = "config/tributary.toml";

/// The shipped configuration, in force where [`DEFAULT_FILE`] does not exist, so that the two URLs in
/// the environment are enough to start.
const SHIPPED: &str = include_str!("../../config/tributary.toml");

/// Environment variables that replace a value of the file (SPEC §9).
const OVERRIDES: [(&str, &str); 3] = [
    ("source.url", "TRIBUTARY_SOURCE_URL"),
    ("target.url", "TRIBUTARY_TARGET_URL"),
    ("http.listen", "TRIBUTARY_HTTP_LISTEN"),
];

/// For how long closed things are kept (SPEC §10).
const RETENTION_DAYS: u32 = 400;

/// A server that is not known, while other problems are looked for.
type Connection = Option<(Server, Shown)>;

impl Config {
    /// Reads the file at `path`, else at `TRIBUTARY_CONFIG`, else `config/tributary.toml`, else the
    /// configuration that is built in.
    ///
    /// # Errors
    ///
    /// [`Error::Config`] with every problem that was found, one a line, each with the path of its key.
    pub fn load(path: Option<&Path>, env: Environment<'_>) -> Result<Self> {
        let (text, file) = text_of(path, env)?;
        read(&text, file.as_deref(), env)
    }

    /// The file that [`Config::load`] reads, whether it is there or not.
    #[must_use]
    pub fn file(path: Option<&Path>, env: Environment<'_>) -> PathBuf {
        named(path, env).unwrap_or_else(|| DEFAULT_FILE.into())
    }

    /// Reads the text of a file. Relative password files are looked for in the current folder.
    ///
    /// # Errors
    ///
    /// As [`Config::load`].
    pub fn parse(text: &str, env: Environment<'_>) -> Result<Self> {
        read(text, None, env)
    }
}

/// The text of the file, and the file where it is not the one that is built in.
pub(super) fn text_of(
    path: Option<&Path>,
    env: Environment<'_>,
) -> Result<(String, Option<PathBuf>)> {
    let named = named(path, env);
    let file = named.clone().unwrap_or_else(|| DEFAULT_FILE.into());
    match std::fs::read_to_string(&file) {
        Ok(text) => Ok((text, Some(file))),
        Err(error) if named.is_none() && error.kind() == std::io::ErrorKind::NotFound => {
            Ok((SHIPPED.to_owned(), None))
        }
        Err(error) => Err(Error::Config(unreadable(&file, &error))),
    }
}

fn unreadable(file: &Path, error: &std::io::Error) -> String {
    let remedy = match error.kind() {
        std::io::ErrorKind::NotFound => {
            "; name the file that there is (--config, TRIBUTARY_CONFIG), or write one with `tributary config new`"
        }
        _ => "",
    };
    format!("{} cannot be read: {error}{remedy}", file.display())
}

/// The values that the environment replaces: path and variable.
pub(super) fn overrides(env: Environment<'_>) -> Vec<(&'static str, &'static str)> {
    OVERRIDES.into_iter().filter(|(_, variable)| lookup(env, variable).is_some()).collect()
}

fn named(path: Option<&Path>, env: Environment<'_>) -> Option<PathBuf> {
    let named = path.map(Path::to_owned);
    named.or_else(|| lookup(env, "TRIBUTARY_CONFIG").map(PathBuf::from))
}

fn read(text: &str, file: Option<&Path>, env: Environment<'_>) -> Result<Config> {
    let name = file.map_or_else(|| "the configuration".into(), |file| file.display().to_string());
    let mut table: Table = text.parse().map_err(|error| syntax_error(&name, text, &error))?;
    if previous::is_previous(&table) {
        return Err(previous::refusal(&name, &table));
    }
    let mut problems = Problems::default();
    let overrides = overrides(env);
    let paths: Vec<&str> = overrides.iter().map(|(path, _)| *path).collect();
    interpolate(&mut table, &paths, env, &mut problems);
    let config = build(&table, file, &overrides, env, &mut problems);
    match config {
        Some(config) if problems.reported.is_empty() => Ok(config),
        _ => Err(Error::Config(format!("{name}:\n  {}", problems.reported.join("\n  ")))),
    }
}

/// The place and kind of a syntax error. The line itself may hold a password, so it is not quoted.
pub(super) fn syntax_error(name: &str, text: &str, error: &toml::de::Error) -> Error {
    let place = error.span().and_then(|span| text.get(..span.start)).map(|before| {
        let column = before.rsplit('\n').next().unwrap_or("").chars().count() + 1;
        format!(":{}:{column}", before.matches('\n').count() + 1)
    });
    let place = place.unwrap_or_default();
    let kind = error.message().lines().next().unwrap_or("not TOML");
    Error::Config(format!("{name}{place}: {kind}"))
}

fn build(
    table: &Table,
    file: Option<&Path>,
    overrides: &[(&'static str, &'static str)],
    env: Environment<'_>,
    problems: &mut Problems,
) -> Option<Config> {
    let mut root = Section::root(table);
    let place = Place { file, overrides, env };
    let feeds = super::feeds::feeds(&mut root.section("feeds", problems), problems);
    let section = root.section("source", problems);
    let mut target_section = root.section("target", problems);
    let schema = schema(&mut target_section, problems);
    let (mut source, source_shown) = source(section, feeds, &schema, &place, problems);
    let (target, target_shown) = target(target_section, schema, &place, problems);
    let run = run(root.section("run", problems), problems);
    for feed in source.iter_mut().flat_map(|source| &mut source.feeds) {
        feed.max_row_bytes = run.max_row_bytes;
    }
    let guard = guard(root.section("guard", problems), problems);
    let http = super::http::http(root.section("http", problems), &place, problems);
    let listen = http.as_ref().map(|http| http.listen);
    let admin = super::admin::admin(root.section("admin", problems), listen, &place, problems);
    let log_level = super::http::log_level(root.section("log", problems), problems);
    let backup = safety::backup(root.section("backup", problems), problems);
    let validate = root.section("validate", problems);
    let verify_every = verify(root.section("verify", problems), problems);
    let retention_days = retention(root.section("retention", problems), problems);
    let rules = rules::rules(root.section("rules", problems), problems);
    let products: Vec<String> = rules.products.iter().map(|p| p.code.clone()).collect();
    let validate = safety::validate(validate, &products, problems);
    root.finish(problems);
    let (source_shown, target_shown, http) = (source_shown?, target_shown?, http?);
    let origins = Origins {
        file: file.map(Path::to_owned),
        overrides: overrides.to_vec(),
        source: source_shown,
        target: target_shown,
    };
    Some(Config {
        source: source?,
        target: target?,
        run,
        guard,
        http_listen: http.listen,
        http_access: http.access,
        admin,
        log_level,
        backup,
        validate,
        verify_every,
        retention_days,
        rules,
        origins,
    })
}

/// What reading a value may need besides the file's text.
pub(super) struct Place<'p> {
    pub(super) file: Option<&'p Path>,
    pub(super) overrides: &'p [(&'static str, &'static str)],
    pub(super) env: Environment<'p>,
}

impl Place<'_> {
    /// The override of the value at a path, with the name of its variable.
    pub(super) fn override_of(&self, path: &str) -> Option<(&'static str, String)> {
        let (_, variable) = self.overrides.iter().find(|(known, _)| *known == path)?;
        lookup(self.env, variable).map(|value| (*variable, value))
    }

    /// Where a password file is: a relative one in `$CREDENTIALS_DIRECTORY`, where systemd puts
    /// credentials, else beside the configuration.
    pub(super) fn resolve(&self, file: &str) -> PathBuf {
        let folder = lookup(self.env, "CREDENTIALS_DIRECTORY").map(PathBuf::from);
        let folder = folder.or_else(|| self.file?.parent().map(Path::to_owned));
        folder.unwrap_or_default().join(file)
    }
}

/// `url` and `password_file` of a section.
pub(super) fn connection(
    section: &mut Section<'_>,
    place: &Place<'_>,
    problems: &mut Problems,
) -> Connection {
    let (path, file_path) = (section.path_of("url"), section.path_of("password_file"));
    let file = section.text("password_file", problems);
    let value = section.value("url");
    let replaced = place.override_of(&path);
    let (variable, url) = match (&replaced, value) {
        (Some((variable, url)), _) => (Some(*variable), url.as_str()),
        (None, Some(value)) => (None, super::section::text(value, &path, problems)?),
        (None, None) => {
            let known = OVERRIDES.iter().find(|(known, _)| *known == path);
            let variable = known.map_or("", |(_, variable)| variable);
            problems.add(&path, format!("is missing; write it, or set {variable}"));
            return None;
        }
    };
    let password_file = file.map(|file| (place.resolve(file), file_path.as_str()));
    let streams = path == "source.url";
    let pieces = Pieces { conninfo: url, path: variable.unwrap_or(&path), password_file, streams };
    server(&pieces, place.env, problems)
}

fn source(
    mut section: Section<'_>,
    feeds: Vec<FeedConfig>,
    schema: &Schema,
    place: &Place<'_>,
    problems: &mut Problems,
) -> (Option<Source>, Option<Shown>) {
    let connection = connection(&mut section, place, problems);
    let (slot_path, publication_path) = (section.path_of("slot"), section.path_of("publication"));
    let slot = section.text("slot", problems).map_or_else(|| schema.identifier(), str::to_owned);
    let is_slot_byte = |b: u8| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'_';
    if slot.is_empty() || slot.len() > 63 || !slot.bytes().all(is_slot_byte) {
        problems.add(&slot_path, "a slot's name is 1 to 63 of a-z, 0-9 and _");
    }
    let publication = section.text("publication", problems);
    let publication = publication.map_or_else(|| schema.identifier(), str::to_owned);
    if publication.len() > 63 {
        problems.add(&publication_path, "a publication's name has at most 63 bytes");
    }
    let give_up_slot_mb = section.number("give_up_slot_mb", 1..=u32::MAX, problems);
    section.finish(problems);
    let (server, shown) = connection.unzip();
    let source = server.map(|server| Source { server, slot, publication, give_up_slot_mb, feeds });
    (source, shown)
}

/// Where everything of the daemon's own lives (SPEC §10).
pub(super) fn schema(section: &mut Section<'_>, problems: &mut Problems) -> Schema {
    let path = section.path_of("schema");
    let Some(name) = section.text("schema", problems) else { return Schema::default() };
    Schema::configured(name).unwrap_or_else(|problem| {
        problems.add(&path, problem);
        Schema::default()
    })
}

fn target(
    mut section: Section<'_>,
    schema: Schema,
    place: &Place<'_>,
    problems: &mut Problems,
) -> (Option<Target>, Option<Shown>) {
    let connection = connection(&mut section, place, problems);
    let mut named = |key, default| table(&mut section, key, default, problems);
    let profiles = named("profiles", "public.unified_profiles");
    let transactions = named("transactions", "public.transactions");
    let enrollments = named("enrollments", "public.enrollments");
    let courses = named("courses", "public.courses");
    check_targets(&[&profiles, &transactions, &enrollments, &courses], &schema, problems);
    let auth_users = auth_users(&mut section, problems);
    section.finish(problems);
    let (server, shown) = connection.unzip();
    let target = server.map(|server| Target {
        server: Server { schema: schema.clone(), ..server },
        schema,
        profiles,
        transactions,
        enrollments,
        courses,
        auth_users,
        copies_of: None,
    });
    (target, shown)
}

/// `auth_users`; `link_auth_users` is the name that its first two values had before.
fn auth_users(section: &mut Section<'_>, problems: &mut Problems) -> AuthUsers {
    let (path, before) = (section.path_of("auth_users"), section.path_of("link_auth_users"));
    let word = section.text("auth_users", problems);
    let flag = section.flag("link_auth_users", problems);
    if word.is_some() && flag.is_some() {
        problems.add(&before, "is an earlier name of auth_users: leave it out");
    }
    match word.map(AuthUsers::parse) {
        Some(Some(known)) => known,
        Some(None) => {
            problems.add(&path, "is one of off, link and create");
            AuthUsers::Link
        }
        None if flag == Some(false) => AuthUsers::Off,
        None => AuthUsers::Link,
    }
}

fn check_targets(tables: &[&TableName], schema: &Schema, problems: &mut Problems) {
    for (index, table) in tables.iter().enumerate() {
        if !table.name.is_empty() && tables[..index].contains(table) {
            problems.add("target", format!("two of its tables are {}", written(table)));
        }
        if table.schema == schema.name() {
            let name = schema.name();
            problems.add("target", format!("the schema {name} is for the daemon's own tables"));
        }
    }
}

/// Of `run.max_row_bytes`: from what holds any usual row up to a quarter of the largest value that PostgreSQL has.
const ROW_BYTES: std::ops::RangeInclusive<u32> = 1_024..=268_435_456;

fn run(mut section: Section<'_>, problems: &mut Problems) -> Run {
    let default = Run::default();
    let migrate = section.flag("migrate", problems).unwrap_or(default.migrate);
    let size = |number: Option<u32>, default: usize| {
        number.and_then(|number| usize::try_from(number).ok()).unwrap_or(default)
    };
    let batch_rows = section.number("batch_rows", 1..=100_000, problems);
    if section.value("batch_delay_ms").is_some() {
        let remedy = "is no longer a setting, as no change waits for others: remove the line";
        problems.add(&section.path_of("batch_delay_ms"), remedy);
    }
    let chunk_rows = section.number("chunk_rows", 1..=100_000, problems);
    let max_row_bytes = section.number("max_row_bytes", ROW_BYTES, problems);
    section.finish(problems);
    Run {
        migrate,
        batch_rows: size(batch_rows, default.batch_rows),
        chunk_rows: size(chunk_rows, default.chunk_rows),
        max_row_bytes: size(max_row_bytes, default.max_row_bytes),
    }
}

fn verify(mut section: Section<'_>, problems: &mut Problems) -> Option<Duration> {
    let every = section.span("every", problems);
    section.finish(problems);
    every
}

fn retention(mut section: Section<'_>, problems: &mut Problems) -> u32 {
    let days = section.number("days", 1..=36_500, problems);
    section.finish(problems);
    days.unwrap_or(RETENTION_DAYS)
}

fn guard(mut section: Section<'_>, problems: &mut Problems) -> Guard {
    let default = Guard::default();
    let delete_rows = section.number("delete_rows", 0..=u32::MAX, problems);
    let path = section.path_of("delete_percent");
    let percent = section.value("delete_percent").and_then(|value| {
        let whole = value.as_integer().and_then(|number| u8::try_from(number).ok()).map(f64::from);
        let number = value.as_float().or(whole).filter(|number| (0.0..=100.0).contains(number));
        super::section::expect(number, value, &path, "a number from 0 to 100", problems)
    });
    section.finish(problems);
    Guard {
        delete_rows: delete_rows.map_or(default.delete_rows, u64::from),
        delete_percent: percent.unwrap_or(default.delete_percent),
    }
}
