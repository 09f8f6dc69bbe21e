//! The values in force as a file (SPEC §9, `config show`), without secrets.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::path::PathBuf;

use super::hash::date_order;
use super::mapping::written;
use super::section::written_span;
use super::server::Shown;
use super::{Access, Config, FeedConfig, FieldSource, SkipRule, SkippedBy};
use crate::facts::{ANY, AmountUnit, FeedKind, When};
use crate::rules::{EmailPattern, Product, Rules, Status};

/// Where the values came from.
#[derive(Debug, Clone)]
pub struct Origins {
    pub(super) file: Option<PathBuf>,
    /// Paths of keys with the variables that replaced them.
    pub(super) overrides: Vec<(&'static str, &'static str)>,
    pub(super) source: Shown,
    pub(super) target: Shown,
}

impl Origins {
    /// The file that was read; `None` is the built-in configuration, or a text.
    #[must_use]
    pub fn file(&self) -> Option<&std::path::Path> {
        self.file.as_deref()
    }
}

impl Config {
    /// Every value in force as TOML that can be read again, with comments on where it came from. A
    /// password is written `***`.
    #[must_use]
    pub fn to_toml(&self) -> String {
        let mut page = Page(String::new());
        let file = self.origins.file.as_ref().map(|file| file.display().to_string());
        page.line(&format!("# {}", file.as_deref().unwrap_or("the built-in configuration")));
        self.show_source(&mut page);
        self.show_target(&mut page);
        self.show_daemon(&mut page);
        show_rules(&self.rules, &mut page);
        page.0
    }

    fn show_server(&self, path: &str, shown: &Shown, page: &mut Page) {
        if let Some(variable) = self.override_of(path) {
            page.line(&format!("# replaced by {variable}"));
        }
        for origin in &shown.origins {
            page.line(&format!("# {origin}"));
        }
        page.value("url", &shown.conninfo);
    }

    fn override_of(&self, path: &str) -> Option<&'static str> {
        let found = self.origins.overrides.iter().find(|(known, _)| *known == path);
        found.map(|(_, variable)| *variable)
    }

    fn show_source(&self, page: &mut Page) {
        let source = &self.source;
        page.table("source");
        self.show_server("source.url", &self.origins.source, page);
        page.value("slot", &source.slot);
        page.value("publication", &source.publication);
        if let Some(limit) = source.give_up_slot_mb {
            page.raw("give_up_slot_mb", limit);
        }
        for feed in &source.feeds {
            show_feed(feed, page);
        }
    }

    fn show_target(&self, page: &mut Page) {
        let target = &self.target;
        page.table("target");
        self.show_server("target.url", &self.origins.target, page);
        page.value("schema", target.schema.name());
        page.value("profiles", &written(&target.profiles));
        page.value("transactions", &written(&target.transactions));
        page.value("enrollments", &written(&target.enrollments));
        page.value("courses", &written(&target.courses));
        page.value("auth_users", target.auth_users.as_str());
    }

    fn show_daemon(&self, page: &mut Page) {
        page.table("run");
        page.raw("migrate", self.run.migrate);
        page.raw("batch_rows", self.run.batch_rows);
        page.raw("chunk_rows", self.run.chunk_rows);
        page.raw("max_row_bytes", self.run.max_row_bytes);
        page.table("guard");
        page.raw("delete_rows", self.guard.delete_rows);
        page.raw("delete_percent", format!("{:?}", self.guard.delete_percent));
        super::safety::show(&self.backup, &self.validate, page);
        page.table("verify");
        if let Some(every) = self.verify_every {
            page.value("every", &written_span(every));
        }
        page.table("retention");
        page.raw("days", self.retention_days);
        page.table("http");
        if let Some(variable) = self.override_of("http.listen") {
            page.line(&format!("# replaced by {variable}"));
        }
        page.value("listen", &self.http_listen.to_string());
        match &self.http_access {
            Access::Loopback => {}
            Access::Open => page.raw("without_token", true),
            Access::Token { file, .. } => page.value("token_file", file),
        }
        self.show_admin(page);
        if let Some(level) = &self.log_level {
            page.table("log");
            page.value("level", level);
        }
    }

    fn show_admin(&self, page: &mut Page) {
        let admin = &self.admin;
        if !admin.is_on() {
            return;
        }
        page.table("admin");
        if let Some(url) = &admin.public_url {
            page.value("public_url", url);
        }
        if !admin.hosts.is_empty() {
            page.list("hosts", &admin.hosts);
        }
        if admin.without_tls {
            page.raw("without_tls", true);
        }
        for holder in &admin.holders {
            page.table(&format!("admin.tokens.{}", super::section::quoted_key(&holder.name)));
            page.value("role", holder.role.as_str());
            page.value("token_file", &holder.file);
        }
    }
}

fn show_feed(feed: &FeedConfig, page: &mut Page) {
    let path = format!("feeds.{}", feed.name);
    page.table(&path);
    page.value("kind", feed.fields.kind().as_str());
    page.value("provider", &feed.provider);
    page.raw("rank", feed.rank);
    page.raw("primary", feed.primary);
    page.value("table", &written(&feed.table));
    page.list("key", &feed.key);
    if feed.fields.kind() == FeedKind::Payment {
        page.value("amount_unit", amount_unit(feed.amount_unit));
    }
    if !feed.skip.is_empty() {
        let rules: Vec<String> = feed.skip.iter().map(skip_rule).collect();
        page.raw("skip", format!("[{}]", rules.join(", ")));
    }
    page.table(&format!("{path}.columns"));
    for (field, sources) in feed.fields.named() {
        page.raw(field, written_sources(sources));
    }
    if !feed.status_words.is_empty() {
        page.table(&format!("{path}.status_words"));
        show_status_words(&feed.status_words, false, page);
    }
}

/// The sources of a field as the configuration writes them.
#[must_use]
pub fn written_sources(sources: &[FieldSource]) -> String {
    match sources {
        [only] => source(only),
        several => {
            let several: Vec<String> = several.iter().map(source).collect();
            format!("[{}]", several.join(", "))
        }
    }
}

fn amount_unit(unit: AmountUnit) -> &'static str {
    match unit {
        AmountUnit::Major => "major",
        AmountUnit::Minor => "minor",
    }
}

fn source(source: &FieldSource) -> String {
    match source {
        FieldSource::Column(column) => quoted(column),
        FieldSource::Value(text) => format!("{{ value = {} }}", quoted(text)),
        FieldSource::Derived { column, path, when } => {
            let mut parts = vec![format!("column = {}", quoted(column))];
            parts.extend(path.as_ref().map(|path| format!("path = {}", list(path))));
            parts.extend(when.as_ref().map(|when| format!("when = {}", meanings(when))));
            format!("{{ {} }}", parts.join(", "))
        }
    }
}

fn meanings(when: &When) -> String {
    let named = when.texts.iter().map(|(text, meaning)| (text.as_str(), meaning));
    let all = named.chain(when.any.as_ref().map(|meaning| (ANY, meaning)));
    let pairs: Vec<String> =
        all.map(|(text, meaning)| format!("{} = {}", quoted(text), quoted(meaning))).collect();
    format!("{{ {} }}", pairs.join(", "))
}

pub(super) fn skip_rule(rule: &SkipRule) -> String {
    let mut parts = match &rule.of {
        SkippedBy::Field(field) => vec![format!("field = {}", quoted(field))],
        SkippedBy::Column { column, .. } => vec![format!("column = {}", quoted(column))],
    };
    if let SkippedBy::Column { path: Some(path), .. } = &rule.of {
        parts.push(format!("path = {}", list(path)));
    }
    parts.push(format!("equals = {}", list(&rule.equals)));
    format!("{{ {} }}", parts.join(", "))
}

pub(super) fn show_status_words(words: &BTreeMap<String, Status>, all: bool, page: &mut Page) {
    let mut by_status: BTreeMap<Status, Vec<&str>> = BTreeMap::new();
    for (word, status) in words {
        by_status.entry(*status).or_default().push(word);
    }
    for status in Status::ALL {
        let words = by_status.get(&status).map(Vec::as_slice).unwrap_or_default();
        if !words.is_empty() || all && status != Status::Unknown {
            page.list(status.as_str(), words);
        }
    }
}

fn show_rules(rules: &Rules, page: &mut Page) {
    page.table("rules");
    page.value("time_zone", rules.zone.iana_name().unwrap_or_default());
    page.value("currency", &rules.currency);
    page.value("date_order", date_order(rules.date_order));
    page.raw("fiscal_year_start_month", rules.fiscal_year_start_month);
    page.list("known_tags", &rules.known_tags);
    if rules.products.is_empty() {
        page.list::<&str>("products", &[]);
    }
    for product in &rules.products {
        show_product(product, page);
    }
    page.table("rules.status_words");
    show_status_words(&rules.status_words, true, page);
    page.table("rules.profiles");
    page.list("tags", &rules.profiles.tags);
    page.raw("or_payment", rules.profiles.or_payment);
    page.table("rules.transactions");
    if let Some(statuses) = &rules.transactions.statuses {
        let names: Vec<&str> = statuses.iter().map(|status| status.as_str()).collect();
        page.list("statuses", &names);
    }
    if let Some(products) = &rules.transactions.products {
        page.list("products", products);
    }
    page.table("rules.exclude");
    let patterns: Vec<&str> = rules.exclude.iter().map(EmailPattern::as_str).collect();
    page.list("emails", &patterns);
}

fn show_product(product: &Product, page: &mut Page) {
    page.line("\n[[rules.products]]");
    page.value("code", &product.code);
    page.value("name", &product.name);
    page.value("id", &product.id.to_string());
    page.value("type", &product.kind);
    page.list("phrases", &product.phrases);
    page.raw("course", product.course);
    match product.access_days {
        Some(days) => page.raw("access_days", days),
        None => page.value("access_days", "lifetime"),
    }
    if let Some(tag) = &product.tag {
        page.value("tag", tag);
    }
}

/// A file in the making.
pub(super) struct Page(pub(super) String);

impl Page {
    pub(super) fn line(&mut self, line: &str) {
        self.0.push_str(line);
        self.0.push('\n');
    }

    pub(super) fn table(&mut self, path: &str) {
        self.line(&format!("\n[{path}]"));
    }

    pub(super) fn raw(&mut self, key: &str, value: impl std::fmt::Display) {
        // Writing to a String cannot fail.
        let _ = writeln!(self.0, "{key} = {value}");
    }

    pub(super) fn value(&mut self, key: &str, text: &str) {
        self.raw(key, quoted(text));
    }

    pub(super) fn list<T: AsRef<str>>(&mut self, key: &str, texts: &[T]) {
        self.raw(key, list(texts));
    }
}

/// A TOML list of texts.
fn list<T: AsRef<str>>(texts: &[T]) -> String {
    let texts: Vec<String> = texts.iter().map(|text| quoted(text.as_ref())).collect();
    format!("[{}]", texts.join(", "))
}

/// A TOML text; what looks like a variable is escaped, so that reading it again gives the same.
fn quoted(text: &str) -> String {
    toml::Value::String(text.replace("${", "$${")).to_string()
}
