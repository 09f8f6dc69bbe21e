//! Joining two people by a decision, and parting them again (SPEC §7).

use uuid::Uuid;

use super::merge::{Merge, Merger, forget_waiting};
use crate::error::Result;
use crate::facts::{EmailKey, canonical_key};
use crate::pg::Group;

impl Merger<'_> {
    /// Gives person `to` the profile that survives, and keeps with decision `id` what was before.
    ///
    /// # Errors
    /// Those of the target.
    pub async fn join_people(
        &self,
        from: &EmailKey,
        to: &EmailKey,
        keep: Merge,
        id: i64,
    ) -> Result<Option<Uuid>> {
        let mut group = Group::default();
        forget_waiting(&mut group, vec![from.to_string(), to.to_string()]);
        group.send(self.tx).await?;
        let a = self.person(from).await?.map(|person| person.profile_id);
        let b = self.person(to).await?.map(|person| person.profile_id);
        let held: Vec<Uuid> = a.into_iter().chain(b).collect();
        let enrollments = self.enrollments_of(&held).await?;
        let survivor = match (a, b) {
            (Some(_), Some(_)) => self.merge_into(from, to, keep).await?,
            (Some(a), None) => {
                let sql = "update tributary.person set email_key = $2, canonical = $3, \
                           state = 'present', profile_digest = null, enrollments_digest = null \
                           where email_key = $1";
                let canonical = canonical_key(to);
                self.tx
                    .execute(
                        "target: renaming a person",
                        sql,
                        &[&from.as_str(), &to.as_str(), &canonical],
                    )
                    .await?;
                Some(a)
            }
            (None, other) => other,
        };
        let sql = "update tributary.decision set profile_id = $2, undo = $3 where id = $1";
        let undo = undo(a, b, &enrollments);
        self.tx.execute("target: recording a decision", sql, &[&id, &survivor, &undo]).await?;
        Ok(survivor)
    }

    /// Two people again: each gets the profile it had, enrollments go back with their rows.
    ///
    /// # Errors
    /// Those of the target.
    pub async fn part_people(
        &self,
        from: &EmailKey,
        to: &EmailKey,
        from_profile: Option<Uuid>,
        to_profile: Option<Uuid>,
        enrollments: &[(Uuid, Uuid)],
    ) -> Result<()> {
        let is_outside = self.person(to).await?.is_some_and(|person| person.outside);
        match (from_profile, to_profile) {
            (Some(a), Some(b)) => {
                self.set_person(from, a, "present").await?;
                self.set_person(to, b, "present").await?;
                self.set_outside(&[from, to], is_outside).await?;
                if is_outside {
                    return Ok(());
                }
                self.set_emails(&[(a, from), (b, to)]).await?;
                self.hand_over(enrollments).await
            }
            (Some(a), None) => {
                let sql = "delete from tributary.person where email_key = $1 and profile_id = $2";
                self.tx.execute("target: parting people", sql, &[&to.as_str(), &a]).await?;
                self.set_person(from, a, "present").await?;
                self.set_outside(&[from], is_outside).await?;
                if is_outside { Ok(()) } else { self.set_emails(&[(a, from)]).await }
            }
            (None, _) => Ok(()),
        }
    }
}

/// What must be known to part two people again.
fn undo(from: Option<Uuid>, to: Option<Uuid>, enrollments: &[(Uuid, Uuid)]) -> serde_json::Value {
    serde_json::json!({ "from": from, "to": to, "enrollments": enrollments })
}
