//! The documents of the repository: what the code and they refer to is there.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};

use crate::support::files;

/// The rules, whose sections the code refers to as `SPEC §4.3` and `P7`.
const RULES: &str = "docs/rules.md";

/// Where references to the rules are looked for.
const CODE: [&str; 7] = ["src", "tests", "testkit", "benches", "fuzz", "migrations", "config"];
/// Endings of the files that may hold them.
const ENDINGS: [&str; 3] = ["rs", "sql", "toml"];

fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}

fn read(path: &Path) -> String {
    std::fs::read_to_string(path).unwrap_or_else(|error| panic!("{}: {error}", path.display()))
}

fn code() -> Vec<PathBuf> {
    let mut found = Vec::new();
    for folder in CODE.map(|folder| root().join(folder)).iter().filter(|folder| folder.exists()) {
        files(folder, &ENDINGS, &mut found);
    }
    assert!(found.len() > 200, "the code was not found: {} files", found.len());
    found
}

/// The README and everything in `docs`.
fn documents() -> Vec<PathBuf> {
    let mut found = vec![root().join("README.md")];
    files(&root().join("docs"), &["md"], &mut found);
    assert!(found.len() >= 4, "the documents were not found: {found:?}");
    found
}

/// Headings of a document, without the marks in front.
fn headings(text: &str) -> Vec<&str> {
    let mut is_code = false;
    let mut found = Vec::new();
    for line in text.lines() {
        if line.starts_with("```") {
            is_code = !is_code;
        }
        let heading = line.trim_start_matches('#');
        if !is_code && heading.len() < line.len() && heading.starts_with(' ') {
            found.push(heading.trim());
        }
    }
    found
}

/// Sections and promises of the rules: the first words of their headings, such as `§4.3` and `P7`.
fn marks() -> BTreeSet<String> {
    let text = read(&root().join(RULES));
    let first = |heading: &&str| heading.split(' ').next().unwrap_or_default().to_owned();
    headings(&text).iter().map(first).filter(|mark| is_section(mark) || is_promise(mark)).collect()
}

fn is_section(word: &str) -> bool {
    word.strip_prefix('§').is_some_and(|rest| rest.starts_with(|c: char| c.is_ascii_digit()))
}

/// A letter and a number; `P0` is a class of SQLSTATE.
fn is_promise(word: &str) -> bool {
    let number = word.strip_prefix('P').unwrap_or_default();
    (1..=2).contains(&number.len())
        && !number.starts_with('0')
        && number.bytes().all(|byte| byte.is_ascii_digit())
}

/// `§3.7` of `§3.7.`, `§7a` of `§7a)`.
fn sections(text: &str) -> impl Iterator<Item = String> {
    text.split('§').skip(1).filter_map(|rest| {
        let end = rest.find(|c: char| !c.is_ascii_alphanumeric() && c != '.').unwrap_or(rest.len());
        let number = rest[..end].trim_end_matches('.');
        number.starts_with(|c: char| c.is_ascii_digit()).then(|| format!("§{number}"))
    })
}

fn promises(text: &str) -> impl Iterator<Item = String> {
    let words = text.split(|c: char| !c.is_ascii_alphanumeric() && c != '_');
    words.filter(|word| is_promise(word)).map(str::to_owned)
}

/// The fragment that a heading is linked by.
fn fragment(heading: &str) -> String {
    let kept = heading.chars().filter(|c| c.is_alphanumeric() || " -_".contains(*c));
    kept.collect::<String>().to_lowercase().replace(' ', "-")
}

/// Targets of the links of a document that stay within the repository.
fn links(text: &str) -> Vec<&str> {
    let targets = text.split("](").skip(1).filter_map(|rest| rest.split_once(')'));
    targets.map(|(target, _)| target).filter(|target| !target.contains("://")).collect()
}

#[test]
fn every_section_that_the_code_names_is_in_the_rules() {
    let known = marks();
    let mut unknown = Vec::new();
    let mut named = BTreeSet::new();
    for file in code() {
        for (number, line) in read(&file).lines().enumerate() {
            for mark in sections(line).chain(promises(line)) {
                if !known.contains(&mark) {
                    unknown.push(format!("{}:{}: {mark}", file.display(), number + 1));
                }
                named.insert(mark);
            }
        }
    }
    assert!(unknown.is_empty(), "not in {RULES}:\n{}", unknown.join("\n"));
    for mark in ["§1", "§3.11", "§4.3", "§5.4", "§9", "P1", "P14"] {
        assert!(named.contains(mark), "no reference to {mark} was found in the code");
    }
}

#[test]
fn the_rules_have_every_section() {
    let known = marks();
    let numbers = (1..=10).map(|n| format!("§{n}"));
    let rows = (1..=11).map(|n| format!("§3.{n}"));
    let people = (1..=5).map(|n| format!("§4.{n}"));
    let payments = (1..=4).map(|n| format!("§5.{n}"));
    let promises = (1..=20).map(|n| format!("P{n}"));
    let all = numbers.chain(rows).chain(people).chain(payments).chain(promises);
    for mark in all.chain(["§7a".to_owned()]) {
        assert!(known.contains(&mark), "{RULES} has no {mark}");
    }
}

#[test]
fn every_link_of_the_documents_leads_somewhere() {
    let mut broken = Vec::new();
    let mut followed = 0;
    for document in documents() {
        let text = read(&document);
        for link in links(&text) {
            let (path, heading) = link.split_once('#').unwrap_or((link, ""));
            let target = match path {
                "" => document.clone(),
                path => document.parent().unwrap().join(path),
            };
            let leads = target.exists()
                && (heading.is_empty()
                    || headings(&read(&target)).iter().any(|found| fragment(found) == heading));
            if !leads {
                broken.push(format!("{}: {link}", document.display()));
            }
            followed += 1;
        }
    }
    assert!(broken.is_empty(), "these links lead nowhere:\n{}", broken.join("\n"));
    assert!(followed > 50, "the links were not found: {followed}");
}

/// The table "From `main` to the commit": every function is in the file that it names.
#[test]
fn the_way_from_main_to_the_commit_is_that_of_the_code() {
    let document = root().join("docs/architecture.md");
    let text = read(&document);
    let mut steps = 0;
    for line in text.lines() {
        let cells: Vec<&str> = line.split('|').map(str::trim).collect();
        let [_, number, function, place, ..] = cells.as_slice() else { continue };
        let Ok(number) = number.parse::<usize>() else { continue };
        let path = links(place).first().copied().unwrap_or_else(|| panic!("no file: {line}"));
        let source = read(&document.parent().unwrap().join(path));
        let is_there = source.contains(&format!("fn {}(", function.trim_matches('`')));
        assert!(is_there, "{path} has no function {function}");
        steps += 1;
        assert_eq!(number, steps);
    }
    assert!((10..=15).contains(&steps), "{steps} steps");
}

/// Every module is in the map, and the operators' document names every metric.
#[test]
fn the_map_and_the_metrics_are_complete() {
    let map = read(&root().join("src/lib.rs"));
    let modules = map.lines().filter_map(|line| line.strip_prefix("pub mod ")?.strip_suffix(';'));
    let missing: Vec<&str> = modules.filter(|name| !map.contains(&format!("[`{name}`]"))).collect();
    assert!(missing.is_empty(), "the crate documentation does not name {missing:?}");
    let operations = read(&root().join("docs/operations.md"));
    let metrics = read(&root().join("src/metrics/names.rs"));
    let names: Vec<&str> =
        metrics.split('"').filter(|text| text.starts_with("tributary_")).collect();
    assert!(names.len() > 15, "the metrics were not found");
    for name in &names {
        assert!(operations.contains(&format!("`{name}`")), "docs/operations.md has no {name}");
    }
    // `tributary_backup_<run>` is a schema.
    let is_metric = |text: &&str| text.starts_with("tributary_") && !text.contains('<');
    let documented = operations.split('`').filter(is_metric);
    let gone: Vec<&str> = documented.filter(|name| !names.contains(name)).collect();
    assert!(gone.is_empty(), "docs/operations.md has metrics that are not there: {gone:?}");
}

/// Every test that the table of faults names is there.
#[test]
fn the_tests_that_the_faults_name_are_there() {
    let text = read(&root().join("docs/faults.md"));
    // Below that heading are figures.
    let table = text.split_once("\n## All at once").unwrap().0;
    let rows = table.lines().filter(|line| line.starts_with("| ") && !line.starts_with("| what "));
    let mut named = 0;
    for row in rows {
        let proof = row.trim_end_matches(" |").rsplit(" | ").next().unwrap_or_default();
        let tests: Vec<&str> = proof.split('`').filter(|name| name.contains("::")).collect();
        assert!(!tests.is_empty(), "no test proves: {row}");
        for test in tests {
            let (module, function) = test.rsplit_once("::").unwrap();
            let file = root().join("tests/it").join(module).with_extension("rs");
            let declared = format!("fn {function}()");
            assert!(read(&file).contains(&declared), "{} has no test {function}", file.display());
            named += 1;
        }
    }
    assert!(named > 40, "the table was not found: {named}");
}

#[test]
fn references_are_found_in_text() {
    let text = "SPEC §3.7, (SPEC §4 to §5.4). §7a) `P9` P0 P100 SP1 P1_x, P14: § 3";
    assert_eq!(sections(text).collect::<Vec<_>>(), ["§3.7", "§4", "§5.4", "§7a"]);
    assert_eq!(promises(text).collect::<Vec<_>>(), ["P9", "P14"]);
    let text = "# A b\n```sh\n# no heading\n```\n### `c` d, e\n";
    assert_eq!(headings(text), ["A b", "`c` d, e"]);
    assert_eq!(fragment("`c` d, e"), "c-d-e");
    assert_eq!(links("[a](b.md#c) [d](https://x) [e](f)"), ["b.md#c", "f"]);
}
