//! What the code itself must not hold.

use std::path::Path;

use crate::support::files;

/// The modules that decide.
const PURE: [&str; 7] = ["facts", "unify", "decode", "engine", "rules.rs", "digest.rs", "cores.rs"];

/// What they must not name: drivers, the runtime, the clock, the environment, found and the modules above them.
const FORBIDDEN: [&str; 20] = [
    "tokio",
    "deadpool",
    "tokio_postgres",
    "pgwire_replication",
    "std::net",
    "std::fs",
    "std::env",
    "SystemTime",
    "Instant::now",
    "Timestamp::now",
    "Zoned::now",
    "crate::apply",
    "crate::backfill",
    "crate::pg",
    "crate::daemon",
    "crate::session",
    "crate::source",
    "crate::store",
    "crate::targets",
    // A list of modules would hide one of them.
    "crate::{",
];

#[test]
fn the_pure_modules_import_no_driver_no_runtime_and_no_clock() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("src");
    let mut found = Vec::new();
    for module in PURE {
        let before = found.len();
        files(&root.join(module), &["rs"], &mut found);
        assert!(found.len() > before, "the module {module} was not found");
    }
    assert!(found.len() > 50, "the pure modules were not found");
    for file in found {
        let text = std::fs::read_to_string(&file).unwrap();
        let lines = (1..).zip(text.lines());
        for (number, line) in lines.filter(|(_, line)| !line.trim_start().starts_with("//")) {
            for word in FORBIDDEN {
                assert!(
                    !line.contains(word),
                    "{}: {word} in line {number}: {line}",
                    file.display()
                );
            }
        }
    }
}

/// What a command writes goes through one file, which knows what a closed pipe means.
#[test]
fn commands_print_in_one_place() {
    let mut found = Vec::new();
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("src");
    files(&root.join("cli"), &["rs"], &mut found);
    found.push(root.join("main.rs"));
    assert!(found.len() > 20, "the commands were not found");
    for file in found.iter().filter(|file| !file.ends_with("cli/output.rs")) {
        let text = std::fs::read_to_string(file).unwrap();
        for word in ["print!(", "println!(", "stdout()", "stderr().lock"] {
            assert!(!text.contains(word), "{}: {word}", file.display());
        }
    }
}

/// An ignored test proves nothing.
#[test]
fn no_test_is_ignored() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let mut found = Vec::new();
    for folder in ["src", "tests", "testkit", "benches"] {
        files(&root.join(folder), &["rs"], &mut found);
    }
    found.retain(|file| !file.ends_with("it/purity.rs"));
    assert!(found.len() > 300, "the tests were not found");
    for file in found {
        let text = std::fs::read_to_string(&file).unwrap();
        let is_ignored = |line: &&str| {
            let line = line.trim_start();
            (line.starts_with("#[") || line.contains("```")) && line.contains("ignore")
        };
        assert_eq!(text.lines().find(is_ignored), None, "{}", file.display());
    }
}
