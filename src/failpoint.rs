//! Points at which a test lets the process die: between two commits, between a commit and its confirmation,
//! around everything that happens once.
//!
//! `TRIBUTARY_FAILPOINT=<name>` aborts the process when it comes by this point for the first time, `<name>:3` for
//! the third time, and adds its name to the file `TRIBUTARY_FAILPOINT_RECORD`, if set. Nothing is cleaned up, as after SIGKILL: no destructor runs and no connection says goodbye.
//! Release builds hold none of this.

/// Every point, each of which `tests/it/failpoints.rs` takes.
pub const NAMES: [&str; 41] = [
    // The session: schema, slot, first checkpoint with the obligation to read the tables (P1).
    "schema-migrated",
    "slot-intended",
    "slot-made",
    "first-checkpoint",
    "first-checkpoint-committed",
    "lost-slot-dropped",
    "session-opened",
    // The backfill.
    "table-started",
    "chunk-applied",
    "chunk-committed",
    "recheck-applied",
    "emails-judged",
    "sweep-applied",
    "sweep-committed",
    "people-written",
    "people-committed",
    "groups-judged",
    "groups-committed",
    "phase-finished",
    "phase-advanced",
    // The stream.
    "stream-opened",
    "batch-applied",
    "batch-committed",
    "batch-confirmed",
    "part-applied",
    "parts-recomputed",
    "idle-committed",
    "reconcile-scheduled",
    // What operators ask.
    "command-executed",
    "command-answered",
    "halt-recorded",
    // The way back.
    "backup-copied",
    "rollback-restored",
    // An import.
    "import-prepared",
    "import-begun",
    "import-batch-written",
    "import-batch-committed",
    "import-rejects-written",
    "import-finishing",
    "import-finished",
    "import-rolled-back",
];

/// Aborts the process here where the environment asks for it.
#[cfg(debug_assertions)]
pub fn hit(name: &'static str) {
    use std::sync::OnceLock;
    use std::sync::atomic::{AtomicU32, Ordering};

    static WANTED: OnceLock<Option<(String, u32)>> = OnceLock::new();
    static HITS: AtomicU32 = AtomicU32::new(0);

    let wanted = WANTED.get_or_init(|| parse(&std::env::var(VARIABLE).ok()?));
    let Some((wanted, at)) = wanted else { return };
    if wanted == name && HITS.fetch_add(1, Ordering::Relaxed) + 1 == *at {
        tracing::error!(name, "failpoint");
        record(name);
        std::process::abort();
    }
}

/// Nothing, in a release build.
#[cfg(not(debug_assertions))]
#[inline(always)]
pub fn hit(_: &'static str) {}

#[cfg(debug_assertions)]
const VARIABLE: &str = "TRIBUTARY_FAILPOINT";

#[cfg(debug_assertions)]
const RECORD: &str = "TRIBUTARY_FAILPOINT_RECORD";

/// Adds the name to the file that the environment names: `.ci/run` finds the points that no test took.
#[cfg(debug_assertions)]
fn record(name: &str) {
    use std::io::Write as _;

    let Some(file) = std::env::var_os(RECORD) else { return };
    let file = std::fs::File::options().create(true).append(true).open(file);
    if file.and_then(|mut file| file.write_all(format!("{name}\n").as_bytes())).is_err() {
        tracing::error!(name, "the failpoint is not recorded");
    }
}

/// Name and number of the hit.
#[cfg(debug_assertions)]
fn parse(text: &str) -> Option<(String, u32)> {
    let (name, at) = text.split_once(':').unwrap_or((text, "1"));
    Some((name.to_owned(), at.parse().ok()?))
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;
    use std::path::Path;

    use super::*;

    #[test]
    fn a_failpoint_is_a_name_and_the_number_of_the_hit() {
        assert_eq!(parse("slot-made"), Some(("slot-made".into(), 1)));
        assert_eq!(parse("slot-made:3"), Some(("slot-made".into(), 3)));
        assert_eq!(parse("slot-made:x"), None);
    }

    #[test]
    fn every_name_is_hit_somewhere_and_every_hit_has_a_name() {
        let mut found = BTreeSet::new();
        names_in(&Path::new(env!("CARGO_MANIFEST_DIR")).join("src"), &mut found);
        let names: BTreeSet<String> = NAMES.iter().map(|&name| name.to_owned()).collect();
        assert_eq!(names.len(), NAMES.len());
        assert_eq!(found, names);
    }

    fn names_in(folder: &Path, found: &mut BTreeSet<String>) {
        for entry in std::fs::read_dir(folder).unwrap() {
            let path = entry.unwrap().path();
            if path.is_dir() {
                names_in(&path, found);
            } else if !path.ends_with("failpoint.rs") {
                let text = std::fs::read_to_string(&path).unwrap_or_default();
                let calls = text.split("failpoint::hit(\"").skip(1);
                found.extend(calls.filter_map(|call| Some(call.split_once('"')?.0.to_owned())));
            }
        }
    }
}
