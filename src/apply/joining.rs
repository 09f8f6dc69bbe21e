//! Joining two people by a decision, and parting them again (SPEC §7).

use uuid::Uuid;

use super::{Merge, RowId, Touched, Writer, store};
use crate::decisions::undo;
use crate::error::Result;
use crate::facts::{EmailKey, canonical_key};

impl Writer {
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
        self.forget_waiting(&[from.as_str(), to.as_str()]).await?;
        let a = self.person(from).await?.map(|person| person.profile_id);
        let b = self.person(to).await?.map(|person| person.profile_id);
        let held: Vec<Uuid> = a.into_iter().chain(b).collect();
        let enrollments = self.enrollments_of(&held).await?;
        let survivor = match (a, b) {
            (Some(_), Some(_)) => self.merge_into(from, to, keep).await?,
            (Some(a), None) => {
                let sql = "update tributary.person set email_key = $2, canonical = $3, \
                           state = 'present' where email_key = $1";
                let canonical = canonical_key(to);
                self.db
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
        self.db.execute("target: recording a decision", sql, &[&id, &survivor, &undo]).await?;
        Ok(survivor)
    }

    /// After an alias is gone: the facts of `person` go back to whom they belong.
    ///
    /// # Errors
    /// Those of the target.
    pub async fn take_back_facts(&self, person: &EmailKey, touched: &mut Touched) -> Result<()> {
        self.touch_shared_ids(&[person.as_str()], touched).await?;
        for table in ["tributary.contact", "tributary.payment"] {
            let sql = format!(
                "update {table} f set owner = coalesce( \
                     (select a.root_key from tributary.alias a where a.from_key = f.email_key), \
                     f.email_key) \
                 where f.owner = $1 and f.email_key is not null"
            );
            self.db.execute("target: taking facts back", &sql, &[&person.as_str()]).await?;
        }
        Ok(())
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
        match (from_profile, to_profile) {
            (Some(a), Some(b)) => {
                self.set_person(from, a, "present").await?;
                self.set_person(to, b, "present").await?;
                self.set_emails(&[(a, from), (b, to)]).await?;
                self.assign_enrollments(enrollments).await
            }
            (Some(a), None) => {
                let sql = "delete from tributary.person where email_key = $1 and profile_id = $2";
                self.db.execute("target: parting people", sql, &[&to.as_str(), &a]).await?;
                self.set_person(from, a, "present").await?;
                self.set_emails(&[(a, from)]).await
            }
            (None, _) => Ok(()),
        }
    }

    /// The shared ids of these persons' facts: who they belong to is part of what is judged of them.
    pub(super) async fn touch_shared_ids(
        &self,
        people: &[&str],
        touched: &mut Touched,
    ) -> Result<()> {
        let external = "select distinct external_id from tributary.payment \
                        where owner = any($1) and external_id is not null";
        let contact = "select distinct contact_id from tributary.contact \
                       where owner = any($1) and contact_id is not null";
        let what = "target: looking up shared ids";
        let rows = self.db.query(what, external, &[&people]).await?;
        touched.external_ids.extend(rows.iter().map(|row| row.get::<_, String>(0)));
        let rows = self.db.query(what, contact, &[&people]).await?;
        touched.contact_ids.extend(rows.iter().map(|row| row.get::<_, String>(0)));
        self.touch_holders(touched).await
    }

    /// Whether any fact or person has this address.
    ///
    /// # Errors
    /// Those of the target.
    pub async fn is_known(&self, key: &EmailKey) -> Result<bool> {
        let sql = "select exists (select from tributary.contact where email_key = $1) \
                   or exists (select from tributary.payment where email_key = $1) \
                   or exists (select from tributary.person where email_key = $1)";
        let rows = self.db.query("target: looking up an address", sql, &[&key.as_str()]).await?;
        Ok(rows.first().is_some_and(|row| row.get(0)))
    }

    /// Whether a fact of this source row is stored.
    ///
    /// # Errors
    /// Those of the target.
    pub async fn has_fact(&self, id: &RowId) -> Result<bool> {
        Ok(!store::load_stored(&self.db, id.0, std::slice::from_ref(&id.1.0)).await?.is_empty())
    }
}
