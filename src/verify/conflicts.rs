//! The review queue against what the rows imply (SPEC §6).

use uuid::Uuid;

use super::Verifier;
use super::report::{Difference, Field, Problem, Table, Touch};
use crate::apply::Expected;
use crate::engine::{StoredConflict, WantedConflict};
use crate::facts::{Feed, FeedKind};
use crate::unify;

impl Verifier<'_> {
    /// Conflicts that are not stored as they should be, or that nothing supports.
    pub(super) fn conflicts(&self, expected: &Expected) -> Vec<Difference> {
        let mut found = Vec::new();
        for (finding, status) in &expected.conflicts {
            let stored = expected.stored.get(&finding.fingerprint);
            let problem = match stored {
                None => Problem::Missing,
                Some(stored) if stored.status == *status && finding.equals(stored) => continue,
                Some(_) => Problem::Differs,
            };
            let touch = self.touch_of(&finding.scope, finding.fingerprint);
            let field = conflict_field(finding, status, stored);
            found.push(conflict(finding.fingerprint, problem, field, touch));
        }
        for fingerprint in &expected.over {
            let Some(stored) = expected.stored.get(fingerprint) else { continue };
            let touch = self.touch_of(&stored.scope, *fingerprint);
            let field = Field { found: Some(stored.status.clone()), ..Field::named(&stored.kind) };
            found.push(conflict(*fingerprint, Problem::Unexpected, field, touch));
        }
        found
    }

    /// What judges the conflicts of a scope.
    pub(super) fn touch_of(&self, scope: &str, fingerprint: Uuid) -> Touch {
        let feeds = &self.applier.env.feeds;
        let of_kind = |kind: FeedKind, text: &str| {
            let of_kind = || feeds.all().filter(move |entry| entry.info.kind == kind);
            let named = text.split_once('/').and_then(|(name, value)| {
                let entry = of_kind().find(|e| !e.info.primary && e.info.name == name)?;
                Some((entry.info.feed, value.to_owned()))
            });
            let primary = || of_kind().find(|entry| entry.info.primary);
            named.or_else(|| Some((primary()?.info.feed, text.to_owned()))).map(Touch::Shared)
        };
        let touch = match scope.split_once(':') {
            Some(("owner", owner)) => Some(Touch::Owner(owner.to_owned())),
            Some(("pair", person)) => Some(Touch::Person(person.to_owned())),
            Some(("contact_id", value)) => of_kind(FeedKind::Contact, value),
            Some(("external_id", value)) => of_kind(FeedKind::Payment, value),
            _ => None,
        };
        touch.unwrap_or(Touch::Conflict(fingerprint))
    }

    /// The scope of the conflicts about a shared id.
    pub(super) fn scope_of(&self, feed: Feed, value: &str) -> String {
        let info = self.applier.env.feeds.info(feed);
        match info.kind {
            FeedKind::Contact => unify::scope_of_contact_id(value),
            FeedKind::Payment => unify::scope_of_external_id(info, value),
        }
    }
}

fn conflict(fingerprint: Uuid, problem: Problem, field: Field, touch: Touch) -> Difference {
    Difference {
        table: Table::Conflicts,
        id: Some(fingerprint.to_string()),
        source_row: None,
        problem,
        fields: vec![field],
        touch,
    }
}

/// Named by the kind; status, severity and evidence are what is compared.
fn conflict_field(
    finding: &WantedConflict,
    status: &str,
    stored: Option<&StoredConflict>,
) -> Field {
    let said = |status: &str, severity: &str| Some(format!("{status}, {severity}"));
    Field {
        name: finding.kind.as_str().to_owned(),
        found: stored.and_then(|stored| said(&stored.status, &stored.severity)),
        expected: said(status, finding.severity.as_str()),
    }
}
