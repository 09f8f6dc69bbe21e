//! The rules that a target was made by, to tell whether they changed.

use crate::config::Config;
use crate::error::Result;
use crate::pg::Db;

/// The rules under which the last backfill was finished. None before the first: until then the target has nothing that
/// the stream could keep up to date.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct MadeBy {
    facts: Option<String>,
    people: Option<String>,
}

impl MadeBy {
    /// What the target says.
    ///
    /// # Errors
    /// Those of the target.
    pub async fn read(db: &Db) -> Result<Self> {
        let sql = "select facts_hash, people_hash from tributary.state";
        let rows = db.query("target: reading the state", sql, &[]).await?;
        let hash = |at| rows.first().and_then(|row| row.get(at));
        Ok(Self { facts: hash(0), people: hash(1) })
    }

    /// Whether a backfill was ever finished.
    #[must_use]
    pub fn was_finished(&self) -> bool {
        self.facts.is_some()
    }

    /// Whether the rules were others than these.
    #[must_use]
    pub fn differs(&self, config: &Config) -> bool {
        let is_other =
            |known: &Option<String>, now: String| known.as_ref().is_some_and(|k| *k != now);
        is_other(&self.facts, config.facts_hash()) || is_other(&self.people, config.people_hash())
    }
}

/// All rules in one text, to tell whether they changed.
#[must_use]
pub fn rules(config: &Config) -> String {
    format!("{} {}", config.facts_hash(), config.people_hash())
}
