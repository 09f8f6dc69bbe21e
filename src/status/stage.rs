//! The stages of a backfill.

/// What a backfill does. Stages follow each other; a rebuild begins at `place`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Stage {
    /// The feeds are read in chunks.
    Rows,
    /// Rows that no chunk saw are asked for again.
    Recheck,
    /// E-mail changes are judged over everything that was read.
    Emails,
    /// What the source no longer has is deleted.
    Sweep,
    /// Stored rows get their owners again.
    Place,
    /// Values that rows share are judged.
    Shared,
    /// Owners are unified.
    People,
    /// What rows that are left out gave goes, once nobody's enrollment shows it any more.
    LeftOut,
    /// Transactions of nobody go whose payments went while they were outside of a rollout.
    LeftBehind,
    /// Canonical keys are judged.
    Pairs,
    /// Conflicts of what no longer exists are closed.
    Conflicts,
    /// Nothing is left.
    Done,
}

impl Stage {
    /// Every stage, in order.
    pub const ALL: [Self; 12] = [
        Self::Rows,
        Self::Recheck,
        Self::Emails,
        Self::Sweep,
        Self::Place,
        Self::Shared,
        Self::People,
        Self::LeftOut,
        Self::LeftBehind,
        Self::Pairs,
        Self::Conflicts,
        Self::Done,
    ];

    /// The stored word.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Rows => "rows",
            Self::Recheck => "recheck",
            Self::Emails => "emails",
            Self::Sweep => "sweep",
            Self::Place => "place",
            Self::Shared => "shared",
            Self::People => "people",
            Self::LeftOut => "left_out",
            Self::LeftBehind => "left_behind",
            Self::Pairs => "pairs",
            Self::Conflicts => "conflicts",
            Self::Done => "done",
        }
    }

    /// The inverse of [`Stage::as_str`]. A word of an older version starts over.
    #[must_use]
    pub fn parse(word: &str) -> Self {
        Self::ALL.into_iter().find(|stage| stage.as_str() == word).unwrap_or(Self::Rows)
    }

    /// What comes after it. Rows that were just read are placed already.
    #[must_use]
    pub fn next(self) -> Self {
        match self {
            Self::Rows => Self::Recheck,
            Self::Recheck => Self::Emails,
            Self::Emails => Self::Sweep,
            Self::Sweep | Self::Place => Self::Shared,
            Self::Shared => Self::People,
            Self::People => Self::LeftOut,
            Self::LeftOut => Self::LeftBehind,
            Self::LeftBehind => Self::Pairs,
            Self::Pairs => Self::Conflicts,
            Self::Conflicts | Self::Done => Self::Done,
        }
    }

    /// Whether everything is read and swept: only recomputing is left.
    #[must_use]
    pub fn has_read(self) -> bool {
        !matches!(self, Self::Rows | Self::Recheck | Self::Emails | Self::Sweep)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_stage_is_read_back_and_leads_to_the_end() {
        for stage in Stage::ALL {
            assert_eq!(Stage::parse(stage.as_str()), stage);
            let end = (0..Stage::ALL.len()).fold(stage, |at, _| at.next());
            assert_eq!(end, Stage::Done);
        }
    }
}
