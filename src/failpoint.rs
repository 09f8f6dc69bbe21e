//! Points at which a test lets the process die: between two commits, between a commit and its confirmation,
//! around everything that happens once.
//!
//! `TRIBUTARY_FAILPOINT=<name>` aborts the process when it comes by this point for the first time, `<name>:3` for
//! the third time, and adds its name to the file `TRIBUTARY_FAILPOINT_RECORD`, if set. Nothing is cleaned up, as after
//! SIGKILL: no destructor runs and no connection says goodbye. `<name>:3:hang` blocks the thread there for ever in place
//! of that, as a deadlock or an endless computation would.
//! Release builds hold none of this.

use std::time::Duration;

/// Every point, each of which `tests/it/failpoints.rs` takes.
pub const NAMES: [&str; 47] = [
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
    "read-beside",
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
    "keyless-noted",
    "profiles-recorded",
    // What operators ask.
    "command-executed",
    "command-answered",
    "halt-recorded",
    // The way back.
    "backup-copied",
    "rollback-restored",
    "cutover-scheduled",
    "cutover-filled",
    "cutover-validated",
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

/// Aborts the process, or blocks the thread, here where the environment asks for it.
#[cfg(debug_assertions)]
pub fn hit(name: &'static str) {
    use std::sync::OnceLock;
    use std::sync::atomic::{AtomicU32, Ordering};

    static WANTED: OnceLock<Option<Wanted>> = OnceLock::new();
    static HITS: AtomicU32 = AtomicU32::new(0);

    let wanted = WANTED.get_or_init(|| parse(&std::env::var(VARIABLE).ok()?));
    let Some(wanted) = wanted else { return };
    if wanted.name == name && HITS.fetch_add(1, Ordering::Relaxed) + 1 == wanted.at {
        tracing::error!(name, "failpoint");
        record(name);
        if !wanted.hangs {
            std::process::abort();
        }
        loop {
            std::thread::park();
        }
    }
}

/// Nothing, in a release build.
#[cfg(not(debug_assertions))]
#[inline(always)]
pub fn hit(_: &'static str) {}

/// How long the main loop may be silent before it counts as dead: `usual`, or what a test cannot wait longer for
/// (`TRIBUTARY_FAILPOINT_SILENCE_MS`). Release builds know the usual time alone.
#[must_use]
pub fn longest_silence(usual: Duration) -> Duration {
    if cfg!(debug_assertions) {
        let millis = std::env::var("TRIBUTARY_FAILPOINT_SILENCE_MS").ok();
        return millis.and_then(|text| text.parse().ok()).map_or(usual, Duration::from_millis);
    }
    usual
}

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

/// What the environment asks for.
#[cfg(debug_assertions)]
#[derive(Debug, PartialEq, Eq)]
struct Wanted {
    name: String,
    /// The number of the hit.
    at: u32,
    hangs: bool,
}

#[cfg(debug_assertions)]
fn parse(text: &str) -> Option<Wanted> {
    let (text, hangs) = text.strip_suffix(":hang").map_or((text, false), |rest| (rest, true));
    let (name, at) = text.split_once(':').unwrap_or((text, "1"));
    Some(Wanted { name: name.to_owned(), at: at.parse().ok()?, hangs })
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;
    use std::path::Path;

    use super::*;

    #[test]
    fn a_failpoint_is_a_name_and_the_number_of_the_hit() {
        let wanted = |at, hangs| Some(Wanted { name: "slot-made".into(), at, hangs });
        assert_eq!(parse("slot-made"), wanted(1, false));
        assert_eq!(parse("slot-made:3"), wanted(3, false));
        assert_eq!(parse("slot-made:3:hang"), wanted(3, true));
        assert_eq!(parse("slot-made:hang"), wanted(1, true));
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
