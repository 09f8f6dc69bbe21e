//! The pure modules stay pure.

use std::path::{Path, PathBuf};

/// The modules that decide.
const PURE: [&str; 5] = ["facts", "unify", "decode", "engine", "rules.rs"];

/// What they must not name: drivers, the runtime, the clock, the environment, files and the modules above them.
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
    "crate::pipeline",
    "crate::session",
    "crate::source",
    "crate::store",
    "crate::targets",
    // A list of modules would hide one of them.
    "crate::{",
];

fn sources(at: &Path, into: &mut Vec<PathBuf>) {
    if at.is_dir() {
        for entry in std::fs::read_dir(at).unwrap() {
            sources(&entry.unwrap().path(), into);
        }
    } else if at.extension().is_some_and(|extension| extension == "rs") {
        into.push(at.to_owned());
    }
}

#[test]
fn the_pure_modules_import_no_driver_no_runtime_and_no_clock() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("src");
    let mut files = Vec::new();
    for module in PURE {
        let before = files.len();
        sources(&root.join(module), &mut files);
        assert!(files.len() > before, "the module {module} was not found");
    }
    assert!(files.len() > 50, "the pure modules were not found");
    for file in files {
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
    let mut files = Vec::new();
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("src");
    sources(&root.join("cli"), &mut files);
    files.push(root.join("main.rs"));
    assert!(files.len() > 20, "the commands were not found");
    for file in files.iter().filter(|file| !file.ends_with("cli/output.rs")) {
        let text = std::fs::read_to_string(file).unwrap();
        for word in ["print!(", "println!(", "stdout()", "stderr().lock"] {
            assert!(!text.contains(word), "{}: {word}", file.display());
        }
    }
}
