//! A configuration for the feeds that a database seems to hold (SPEC §9, `config new`). What tables look like is read
//! from the shipped configurations, so that what is written here is what is tested there.

use std::fmt::Write as _;

use super::mapping::{Fields, written};
use super::show::{Page, show_status_words, skip_rule, written_sources};
use super::{Config, FeedConfig, FieldSource, SkippedBy, TableName};
use crate::error::Result;
use crate::facts::{AmountUnit, FeedKind};

/// The shipped configurations; each feed of them is a form that a table may have.
const SHIPPED: [&str; 3] = [
    include_str!("../../config/tributary.toml"),
    include_str!("../../config/legacy-csv.toml"),
    include_str!("../../config/more-feeds.toml"),
];

/// A form with fewer columns than these is that of many tables that are something else.
const TELLING_COLUMNS: usize = 8;

/// Tables of the target, which may lie in the same database.
const TARGETS: [&str; 4] = ["unified_profiles", "transactions", "enrollments", "courses"];

/// Types that no field is read from, or not as what it is.
const UNREADABLE: [&str; 5] = ["bytea", "_bytea", "hstore", "_hstore", "money"];

/// Most columns named of a table that is not recognised, and most such tables.
const COLUMNS_SHOWN: usize = 12;
const TABLES_SHOWN: usize = 200;

/// What marks a line of which a person must think.
const UNSURE: &str = "# NOT SURE:";

/// A table of the database.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct FoundTable {
    /// Its name.
    pub table: TableName,
    /// Its columns with the names of their types, domains counting as their base types.
    pub columns: Vec<(String, String)>,
    /// The columns of its primary key or of another usable key; empty: it has none.
    pub key: Vec<String>,
}

impl FoundTable {
    fn has(&self, column: &str) -> bool {
        self.type_of(column).is_some_and(|base| !UNREADABLE.contains(&base))
    }

    fn type_of(&self, column: &str) -> Option<&str> {
        self.columns.iter().find(|(name, _)| name == column).map(|(_, base)| base.as_str())
    }

    /// Whether a source can be read from it.
    fn gives(&self, source: &FieldSource) -> bool {
        let Some(column) = source.column() else { return true };
        let is_path = matches!(source, FieldSource::Derived { path: Some(_), .. });
        let is_json = self
            .type_of(column)
            .is_some_and(|base| matches!(base, "json" | "jsonb" | "text" | "varchar"));
        self.has(column) && (!is_path || is_json)
    }
}

/// A table that looks like a feed.
struct Recognised<'t> {
    found: &'t FoundTable,
    feed: FeedConfig,
    /// Columns that a table of this form has and this one has not.
    missing: Vec<String>,
    /// What a person must look at.
    unsure: Vec<String>,
    /// Whether it is likely enough to be read without being asked for.
    is_likely: bool,
}

/// The text of a configuration for what is recognised of these tables.
///
/// # Errors
/// None, as the shipped configurations can be read.
pub fn new_config(tables: &[FoundTable]) -> Result<String> {
    let forms = forms()?;
    let is_target =
        |table: &TableName| table.schema == "public" && TARGETS.contains(&table.name.as_str());
    let mut feeds: Vec<Recognised<'_>> = Vec::new();
    let mut others: Vec<&FoundTable> = Vec::new();
    for found in tables.iter().filter(|found| !is_target(&found.table)) {
        match recognise(found, &forms) {
            Some(feed) => feeds.push(feed),
            None => others.push(found),
        }
    }
    name_all(&mut feeds);
    choose_primaries(&mut feeds);
    Ok(text(&feeds, &others))
}

fn forms() -> Result<Vec<FeedConfig>> {
    let env = |name: &str| {
        ["SOURCE_URL", "TARGET_URL"].contains(&name).then(|| "host=/x user=x".to_owned())
    };
    let mut forms: Vec<FeedConfig> = Vec::new();
    for text in SHIPPED {
        for form in Config::parse(text, &env)?.source.feeds {
            // What stands beside further feeds has a rank among them.
            forms.retain(|known| known.name != form.name || known.fields != form.fields);
            forms.push(form);
        }
    }
    Ok(forms)
}

/// The form that most columns speak for.
fn recognise<'t>(found: &'t FoundTable, forms: &[FeedConfig]) -> Option<Recognised<'t>> {
    let fitting = forms.iter().filter_map(|form| {
        let columns = form.columns();
        let there = columns.iter().filter(|column| found.has(column)).count();
        let is_named = found.table.name == form.table.name;
        // Seven of ten, and at least what the kind cannot do without.
        let is_enough = there * 10 >= columns.len() * 7;
        (is_enough && has_essentials(found, form)).then_some((there, is_named, form))
    });
    let (_, is_named, form) = fitting.max_by_key(|(there, is_named, _)| (*there, *is_named))?;
    let columns = form.columns();
    let missing = columns.iter().filter(|column| !found.has(column));
    let mut recognised = Recognised {
        found,
        feed: mapped(found, form),
        missing: missing.map(|column| (*column).to_owned()).collect(),
        unsure: Vec::new(),
        is_likely: is_named || columns.len() >= TELLING_COLUMNS,
    };
    recognised.doubt(form, is_named);
    Some(recognised)
}

/// A contact without an address and a payment without an amount are none.
fn has_essentials(found: &FoundTable, form: &FeedConfig) -> bool {
    let wanted: &[&str] = match form.fields.kind() {
        FeedKind::Contact => &["email"],
        FeedKind::Payment => &["amount", "customer_email", "status"],
    };
    let named = form.fields.named();
    let is_there = |field: &&str| {
        let sources = named.iter().find(|(name, _)| *name == *field);
        sources.is_some_and(|(_, sources)| sources.iter().any(|source| found.gives(source)))
    };
    wanted.iter().all(is_there)
}

/// The form as far as the table has its columns.
fn mapped(found: &FoundTable, form: &FeedConfig) -> FeedConfig {
    fn kept<F: Copy>(
        fields: &[(F, Vec<FieldSource>)],
        found: &FoundTable,
    ) -> Vec<(F, Vec<FieldSource>)> {
        let each = fields.iter().filter_map(|(field, sources)| {
            let sources: Vec<FieldSource> =
                sources.iter().filter(|source| found.gives(source)).cloned().collect();
            (!sources.is_empty()).then_some((*field, sources))
        });
        each.collect()
    }
    let fields = match &form.fields {
        Fields::Contact(fields) => Fields::Contact(kept(fields, found)),
        Fields::Payment(fields) => Fields::Payment(kept(fields, found)),
    };
    let is_there = |of: &SkippedBy| match of {
        SkippedBy::Field(name) => fields.named().iter().any(|(field, _)| field == name),
        SkippedBy::Column { column, .. } => found.has(column),
    };
    let skip = form.skip.iter().filter(|rule| is_there(&rule.of)).cloned().collect();
    FeedConfig { table: found.table.clone(), fields, skip, primary: false, ..form.clone() }
}

impl Recognised<'_> {
    fn doubt(&mut self, form: &FeedConfig, is_named: bool) {
        let found = self.found;
        let mut expected = form.key.clone();
        let mut there = found.key.clone();
        expected.sort();
        there.sort();
        if there.is_empty() {
            self.unsure.push(
                "the table has no primary key; `check` names the statement that it needs"
                    .to_owned(),
            );
        } else if there != expected {
            self.feed.key.clone_from(&found.key);
            self.unsure.push(format!(
                "the key is that of the table; the form has {}",
                form.key.join(", ")
            ));
        }
        if !self.is_likely {
            self.unsure
                .push(format!("many tables have such columns: is this one like {}?", form.name));
        } else if !is_named {
            self.unsure.push(format!(
                "it has the columns of {}: is the provider {}?",
                form.name, form.provider
            ));
        }
        let amount = |column: &str| found.type_of(column).unwrap_or_default();
        let is_whole = matches!(amount("amount"), "int2" | "int4" | "int8");
        if form.amount_unit == AmountUnit::Minor && !is_whole {
            self.unsure.push("the amounts are no whole numbers: do they count centavos (minor) or pesos (major)?".to_owned());
        }
        if !self.missing.is_empty() {
            self.unsure.push(format!(
                "columns of this form that the table has not: {}",
                self.missing.join(", ")
            ));
        }
    }
}

/// A feed is named like its form, and like its table where several have that form.
fn name_all(feeds: &mut [Recognised<'_>]) {
    let forms: Vec<String> = feeds.iter().map(|feed| feed.feed.name.clone()).collect();
    let mut taken: Vec<String> = Vec::new();
    // Those that are named like the form first, so that no other takes their name.
    let mut order: Vec<usize> = (0..feeds.len()).collect();
    order.sort_by_key(|at| feeds[*at].found.table.name != forms[*at] || !feeds[*at].is_likely);
    for at in order {
        let several = forms.iter().filter(|name| **name == forms[at]).count() > 1;
        let wanted =
            if several { feed_name(&feeds[at].found.table.name) } else { forms[at].clone() };
        let mut name = wanted.clone();
        let mut number = 2;
        while taken.contains(&name) {
            name = format!("{}_{number}", wanted.chars().take(28).collect::<String>());
            number += 1;
        }
        if several {
            let doubt = format!("several tables look like {}: is this one a copy?", forms[at]);
            feeds[at].unsure.push(doubt);
        }
        taken.push(name.clone());
        feeds[at].feed.name = name;
    }
}

/// A name of a-z, 0-9 and _.
fn feed_name(table: &str) -> String {
    let known = |c: char| if c.is_ascii_alphanumeric() { c.to_ascii_lowercase() } else { '_' };
    let name: String = table.chars().map(known).take(32).collect();
    if name.is_empty() { "feed".to_owned() } else { name }
}

/// One feed of each kind is the primary one: that with the name which is by default, else the first.
fn choose_primaries(feeds: &mut [Recognised<'_>]) {
    for (kind, usual) in [(FeedKind::Contact, "systemeio"), (FeedKind::Payment, "xendit")] {
        let mut of_kind: Vec<&mut Recognised<'_>> = feeds
            .iter_mut()
            .filter(|feed| feed.is_likely && feed.feed.fields.kind() == kind)
            .collect();
        if let Some(known) = of_kind.iter_mut().find(|feed| feed.feed.name == usual) {
            known.feed.primary = true;
        } else if let Some(first) = of_kind.first_mut() {
            first.feed.primary = true;
            let doubt = "primary for ever: its ids become ids of the target".to_owned();
            first.unsure.push(doubt);
        }
    }
}

fn text(feeds: &[Recognised<'_>], others: &[&FoundTable]) -> String {
    let mut page = Page(String::new());
    page.line("# Tributary: written by `tributary config new` from the tables that were found. Lines that begin with");
    page.line(&format!("# \"{UNSURE}\" need a person; `tributary config show` shows what is in force with the defaults,"));
    page.line("# `tributary check` whether it can be followed. The shipped files tributary.toml and more-feeds.toml explain each key.");
    page.line("\n[source]");
    page.line("url = \"${SOURCE_URL}\"");
    if !feeds.iter().any(|feed| feed.is_likely) {
        page.line(&format!("\n{UNSURE} no table looks like a feed: without one, public.xendit and public.systemeio are read."));
    }
    for feed in feeds {
        let mut of_feed = Page(String::new());
        show(feed, &mut of_feed);
        for line in of_feed.0.lines() {
            let is_comment = feed.is_likely || line.is_empty() || line.starts_with('#');
            page.line(&if is_comment { line.to_owned() } else { format!("# {line}") });
        }
    }
    if !others.is_empty() {
        page.line("\n# Tables that are not recognised; a feed can be written for any table of contacts or payments.");
    }
    for found in others.iter().take(TABLES_SHOWN) {
        let names: Vec<&str> = found.columns.iter().map(|(name, _)| name.as_str()).collect();
        let shown = names.iter().take(COLUMNS_SHOWN).copied().collect::<Vec<_>>().join(", ");
        let more = if names.len() > COLUMNS_SHOWN { ", …" } else { "" };
        page.line(&comment(&format!("  {} ({shown}{more})", found.table)));
    }
    if others.len() > TABLES_SHOWN {
        page.line(&format!("#   and {} more", others.len() - TABLES_SHOWN));
    }
    page.line("\n[target]");
    page.line("url = \"${TARGET_URL}\"");
    page.line("\n# Addresses of test accounts: * is any text, ? one character. Their rows give nothing but a note.");
    page.line("# [rules.exclude]\n# emails = [\"*@test.example\"]");
    page.0
}

/// Names of the catalog may hold a line break.
fn comment(text: &str) -> String {
    format!("# {}", text.replace(|c: char| c.is_control(), " "))
}

fn show(recognised: &Recognised<'_>, page: &mut Page) {
    let feed = &recognised.feed;
    let path = format!("feeds.{}", feed.name);
    page.line("");
    if !recognised.is_likely {
        page.line("# Not read unless you take the marks # away:");
    }
    for doubt in &recognised.unsure {
        page.line(&comment(&format!("{} {doubt}", &UNSURE[2..])));
    }
    page.line(&format!("[{path}]"));
    page.value("kind", feed.fields.kind().as_str());
    page.value("provider", &feed.provider);
    page.raw("rank", format!("{}  # lower wins where contacts of one person disagree", feed.rank));
    page.raw("primary", feed.primary);
    page.value("table", &written(&feed.table));
    page.list("key", &feed.key);
    if feed.amount_unit == AmountUnit::Minor {
        page.raw("amount_unit", "\"minor\"  # amounts count the smallest part of the currency");
    }
    if !feed.skip.is_empty() {
        let rules: Vec<String> = feed.skip.iter().map(skip_rule).collect();
        page.raw("skip", format!("[{}]  # such rows give nothing", rules.join(", ")));
    }
    page.line(&format!("\n[{path}.columns]"));
    let mut used: Vec<&str> = feed.columns();
    for (field, sources) in feed.fields.named() {
        page.raw(field, written_sources(sources));
    }
    used.extend(feed.key.iter().map(String::as_str));
    let unused = recognised.found.columns.iter().map(|(name, _)| name.as_str());
    let unused: Vec<&str> = unused.filter(|name| !used.contains(name)).collect();
    if !unused.is_empty() {
        let mut line = String::new();
        // Writing to a String cannot fail.
        let _ = write!(line, "not read: {}", unused.join(", "));
        page.line(&comment(&line));
    }
    if !feed.status_words.is_empty() {
        page.line(&format!("\n[{path}.status_words]"));
        show_status_words(&feed.status_words, false, page);
    }
}

#[cfg(test)]
#[path = "new_tests.rs"]
mod tests;
