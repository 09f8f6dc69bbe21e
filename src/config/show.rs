//! The values in force as a file (SPEC §9, `config show`), without secrets.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::path::PathBuf;

use super::hash::date_order;
use super::mapping::written;
use super::server::Shown;
use super::{Config, TableMapping};
use crate::facts::LogicalField;
use crate::rules::{Product, Rules, Status};

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
        show_mapping("source.xendit", &source.xendit, page);
        show_mapping("source.systemeio", &source.systemeio, page);
    }

    fn show_target(&self, page: &mut Page) {
        let target = &self.target;
        page.table("target");
        self.show_server("target.url", &self.origins.target, page);
        page.value("profiles", &written(&target.profiles));
        page.value("transactions", &written(&target.transactions));
        page.value("enrollments", &written(&target.enrollments));
        page.value("courses", &written(&target.courses));
        page.raw("link_auth_users", target.link_auth_users);
    }

    fn show_daemon(&self, page: &mut Page) {
        page.table("run");
        page.raw("migrate", self.run.migrate);
        page.raw("batch_rows", self.run.batch_rows);
        page.raw("chunk_rows", self.run.chunk_rows);
        page.table("guard");
        page.raw("delete_rows", self.guard.delete_rows);
        page.raw("delete_percent", format!("{:?}", self.guard.delete_percent));
        page.table("http");
        if let Some(variable) = self.override_of("http.listen") {
            page.line(&format!("# replaced by {variable}"));
        }
        page.value("listen", &self.http_listen.to_string());
    }
}

fn show_mapping<F: LogicalField>(path: &str, mapping: &TableMapping<F>, page: &mut Page) {
    page.table(path);
    page.value("table", &written(&mapping.table));
    page.list("key", &mapping.key);
    page.table(&format!("{path}.columns"));
    for (field, columns) in &mapping.fields {
        match columns.as_slice() {
            [column] => page.value(field.name(), column),
            columns => page.list(field.name(), columns),
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
    let mut words: BTreeMap<Status, Vec<&str>> = BTreeMap::new();
    for (word, status) in &rules.status_words {
        words.entry(*status).or_default().push(word);
    }
    for status in Status::ALL {
        let words = words.get(&status).map(Vec::as_slice).unwrap_or_default();
        if !words.is_empty() || status != Status::Unknown {
            page.list(status.as_str(), words);
        }
    }
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
struct Page(String);

impl Page {
    fn line(&mut self, line: &str) {
        self.0.push_str(line);
        self.0.push('\n');
    }

    fn table(&mut self, path: &str) {
        self.line(&format!("\n[{path}]"));
    }

    fn raw(&mut self, key: &str, value: impl std::fmt::Display) {
        // Writing to a String cannot fail.
        let _ = writeln!(self.0, "{key} = {value}");
    }

    fn value(&mut self, key: &str, text: &str) {
        self.raw(key, quoted(text));
    }

    fn list<T: AsRef<str>>(&mut self, key: &str, texts: &[T]) {
        let texts: Vec<String> = texts.iter().map(|text| quoted(text.as_ref())).collect();
        self.raw(key, format!("[{}]", texts.join(", ")));
    }
}

/// A TOML text; what looks like a variable is escaped, so that reading it again gives the same.
fn quoted(text: &str) -> String {
    toml::Value::String(text.replace("${", "$${")).to_string()
}
