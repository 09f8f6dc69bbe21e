//! What a conflict was judged from: the unit that, judged again, closes or confirms it.

use super::model::{Conflict, ConflictKind, Group, Owner};
use crate::facts::FeedInfo;

/// Scope of everything that [`super::unify`] finds: the facts of one owner are judged together, whether a
/// kind is about the person or about one of the rows.
#[must_use]
pub fn scope_of_owner(owner: &Owner) -> String {
    format!("owner:{}", owner.as_str())
}

/// Scope of `duplicate_external_id`; also its subject. An id of another than the primary feed names its feed.
#[must_use]
pub fn scope_of_external_id(feed: &FeedInfo, value: &str) -> String {
    if feed.primary {
        return format!("external_id:{value}");
    }
    format!("external_id:{}/{value}", feed.name)
}

/// Scope of `contact_id_collision`; also its subject.
#[must_use]
pub fn scope_of_contact_id(value: &str) -> String {
    format!("contact_id:{value}")
}

/// Scope of `possible_duplicate`: the later e-mail key of the pair, in byte order.
#[must_use]
pub fn scope_of_pair(later: &str) -> String {
    format!("pair:{later}")
}

/// Beside the scope of a `possible_duplicate`: the earlier of the pair, whose payments are at stake too. Nothing is judged
/// by it.
#[must_use]
pub fn scope_of_partner(conflict: &Conflict) -> Option<String> {
    let earlier = conflict.evidence.get("emails")?.get(0)?.as_str()?;
    (conflict.kind == ConflictKind::PossibleDuplicate).then(|| format!("with:{earlier}"))
}

/// Scope of `email_change_collision` from one e-mail key to another.
#[must_use]
pub fn scope_of_collision(from: &str, to: &str) -> String {
    format!("collision:{from}|{to}")
}

/// Scope of `email_change_split` from one e-mail key to another.
#[must_use]
pub fn scope_of_split(from: &str, to: &str) -> String {
    format!("split:{from}|{to}")
}

/// Scope of `delete_blocked`.
#[must_use]
pub fn scope_of_blocked(source_row: &str) -> String {
    format!("blocked:{source_row}")
}

/// Scope of `rejected_row`.
#[must_use]
pub fn scope_of_rejected(source_row: &str) -> String {
    format!("rejected:{source_row}")
}

/// Scope of the kinds about a person's tie to a profile: `source_absent`, `missing_auth_user`,
/// `duplicate_profile`.
#[must_use]
pub fn scope_of_link(email: &str) -> String {
    format!("owner:{email}")
}

/// Every scope that [`super::unify`] judges for this group, which is the owner's alone. A stored conflict
/// of it that `unify` does not find again is over.
#[must_use]
pub fn scopes(group: &Group) -> Vec<String> {
    vec![scope_of_owner(&group.owner)]
}
