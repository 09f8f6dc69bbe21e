//! The pure modules stay pure.

use std::path::{Path, PathBuf};

/// What `facts`, `unify`, `decode` and `rules` must not name: drivers, the runtime, the clock, the
/// environment, files and the modules above them.
const FORBIDDEN: [&str; 14] = [
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
    "crate::source",
    "crate::pipeline",
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
    for module in ["facts", "unify", "decode", "rules.rs"] {
        sources(&root.join(module), &mut files);
    }
    assert!(files.len() > 20, "the pure modules were not found");
    for file in files {
        let text = std::fs::read_to_string(&file).unwrap();
        let code = text.lines().filter(|line| !line.trim_start().starts_with("//"));
        for (number, line) in code.enumerate() {
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
