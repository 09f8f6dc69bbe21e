//! What the scenarios stand on.

pub(crate) mod browser;
pub(crate) mod compare;
pub(crate) mod counting;
pub(crate) mod daemon;
pub(crate) mod fault_proxy;
pub(crate) mod feeds;
pub(crate) mod fingerprint;
pub(crate) mod full_disk;
pub(crate) mod place;
pub(crate) mod site;
pub(crate) mod world;

use std::future::Future;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

/// Longest wait for anything the product promises; generous, for a loaded machine.
pub(crate) const PATIENCE: Duration = Duration::from_secs(120);

/// Polls until the condition holds; `explain` is asked once, on failure.
pub(crate) async fn eventually<F, Fut>(
    what: &str,
    explain: impl FnOnce() -> String,
    mut condition: F,
) where
    F: FnMut() -> Fut,
    Fut: Future<Output = bool>,
{
    let start = Instant::now();
    while !condition().await {
        assert!(start.elapsed() < PATIENCE, "never happened: {what}\n{}", explain());
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
}

/// A number from the environment, for tests that can be made longer.
pub(crate) fn setting(name: &str, default: u64) -> u64 {
    let text = std::env::var(name);
    text.map_or(default, |text| text.parse().unwrap_or_else(|_| panic!("{name} is no number")))
}

/// Files with one of these endings below a folder, other than what was built.
pub(crate) fn files(at: &Path, endings: &[&str], into: &mut Vec<PathBuf>) {
    if !at.is_dir() {
        let ending = at.extension().and_then(|ending| ending.to_str()).unwrap_or_default();
        if endings.contains(&ending) {
            into.push(at.to_owned());
        }
    } else if !at.ends_with("target") {
        for entry in std::fs::read_dir(at).unwrap() {
            files(&entry.unwrap().path(), endings, into);
        }
    }
}
