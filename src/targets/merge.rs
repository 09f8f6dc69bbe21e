//! Two persons become one, and two again (SPEC §4.3, §7): profiles keep their ids, nothing is deleted.
//!
//! The surviving profile takes the address of the person that remains; the other one is kept, takes the
//! other address, and is marked merged. Enrollments of both are handed to the survivor; where both have
//! the same course, the one with more progress goes to the survivor and the other stays with the merged
//! profile, so that every row an application hangs data on is still there, and undoing is exact.

use std::sync::{Mutex, PoisonError};

use uuid::Uuid;

use super::catalog::Tables;
use super::statements::PARKED;
use crate::error::{Error, Result};
use crate::facts::EmailKey;
use crate::pg::{Group, Tx};

/// Which profile survives a merge.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Merge {
    /// The person moves to a new address with its profile (SPEC §4.3).
    KeepFrom,
    /// The elder by created_at, then id (SPEC §7).
    KeepElder,
}

/// Joins and parts people inside an open transaction.
#[derive(Clone, Copy)]
pub struct Merger<'a> {
    /// The open transaction.
    pub tx: &'a Tx,
    /// The target tables.
    pub tables: &'a Tables,
    /// Gathers the profiles of those who were outside of the rollout and come in with whom they join (SPEC §7a).
    pub came_in: &'a CameIn,
}

/// Profiles of those who came into the rollout with whom they joined, whose transactions are not judged yet.
pub type CameIn = Mutex<Vec<Uuid>>;

/// A person's row.
#[derive(Debug, Clone, Copy)]
pub struct Held {
    /// Its profile.
    pub profile_id: Uuid,
    /// Whether it is outside of the rollout: nothing of it is written.
    pub outside: bool,
}

/// An enrollment as it must be known to hand it over.
struct Course {
    id: Uuid,
    user_id: Uuid,
    course_id: Uuid,
}

/// Adds to a group that those of these keys who wait for an auth user are forgotten: they have no profile, and so nothing
/// to hand over, and start again under the other address.
pub fn forget_waiting(group: &mut Group, keys: Vec<String>) {
    let sql = "delete from tributary.person where email_key = any($1) and state = 'waiting'";
    group.any("target: forgetting who waits", sql, vec![Box::new(keys)]);
}

const SWAPPING: &str = "target: swapping enrollments";

/// An enrollment and whose it is to be, and another one of its course.
type Swap<'c> = (&'c Course, Uuid, &'c Course, Uuid);

impl Merger<'_> {
    /// The person with this e-mail key.
    ///
    /// # Errors
    /// Those of the target.
    pub async fn person(&self, key: &EmailKey) -> Result<Option<Held>> {
        let sql = "select profile_id, outside from tributary.person where email_key = $1";
        let rows = self.tx.query("target: looking up a person", sql, &[&key.as_str()]).await?;
        Ok(rows.first().map(|row| Held { profile_id: row.get(0), outside: row.get(1) }))
    }

    /// Gives person `to` the surviving profile and marks the other one merged under `from`. Nothing
    /// happens unless both have a profile. Returns the survivor.
    pub async fn merge_into(
        &self,
        from: &EmailKey,
        to: &EmailKey,
        keep: Merge,
    ) -> Result<Option<Uuid>> {
        let (Some(a), Some(b)) = (self.person(from).await?, self.person(to).await?) else {
            return Ok(None);
        };
        let is_outside = a.outside && b.outside;
        if !is_outside {
            let came_in = [a, b].into_iter().filter(|held| held.outside);
            let mut all = self.came_in.lock().unwrap_or_else(PoisonError::into_inner);
            all.extend(came_in.map(|held| held.profile_id));
        }
        let survivor = match keep {
            Merge::KeepFrom => a.profile_id,
            Merge::KeepElder => self.elder(a.profile_id, b.profile_id).await?,
        };
        let merged = if survivor == a.profile_id { b.profile_id } else { a.profile_id };
        self.set_person(to, survivor, "present").await?;
        self.set_person(from, merged, "merged").await?;
        self.set_outside(&[from, to], is_outside).await?;
        if is_outside {
            return Ok(Some(survivor));
        }
        self.set_emails(&[(survivor, to), (merged, from)]).await?;
        let assignment = self.shared_out(survivor, merged).await?;
        self.hand_over(&assignment).await?;
        Ok(Some(survivor))
    }

    /// Gives enrollments to profiles. Those that the target refuses stay where they are, and the recompute gives each person its
    /// own (P10).
    pub(super) async fn hand_over(&self, assignment: &[(Uuid, Uuid)]) -> Result<()> {
        let assigned = self.tx.attempt(self.assign_enrollments(assignment)).await?;
        if let Err(reason) = assigned {
            tracing::warn!(reason, "the target refuses to hand enrollments over");
        }
        Ok(())
    }

    /// Records which profile a person has. Nothing is known of what was last written of it.
    ///
    /// # Errors
    /// Those of the target.
    pub async fn set_person(&self, key: &EmailKey, profile: Uuid, state: &str) -> Result<()> {
        let sql = "insert into tributary.person (email_key, profile_id, canonical, state) \
                   values ($1, $2, $3, $4) on conflict (email_key) \
                   do update set profile_id = excluded.profile_id, state = excluded.state, \
                   profile_digest = null, enrollments_digest = null";
        let canonical = crate::facts::canonical_key(key);
        self.tx
            .execute(
                "target: writing a person",
                sql,
                &[&key.as_str(), &profile, &canonical, &state],
            )
            .await?;
        Ok(())
    }

    /// Records whether people are outside of the rollout: of two who become one, or part, both are in where one was.
    pub(super) async fn set_outside(&self, keys: &[&EmailKey], outside: bool) -> Result<()> {
        let keys: Vec<&str> = keys.iter().map(|key| key.as_str()).collect();
        let sql =
            "update tributary.person set outside = $2 where email_key = any($1) and outside <> $2";
        self.tx.execute("target: writing a person", sql, &[&keys, &outside]).await?;
        Ok(())
    }

    async fn elder(&self, a: Uuid, b: Uuid) -> Result<Uuid> {
        let sql = format!(
            "select id from {} where id in ($1, $2) order by created_at nulls last, id limit 1",
            self.tables.names.profiles
        );
        let rows = self.tx.query("target: comparing profiles", &sql, &[&a, &b]).await?;
        Ok(rows.first().map_or(a, |row| row.get(0)))
    }

    /// Sets the addresses of profiles, also where they swap them. Where the target refuses that, they stay,
    /// and the recompute that follows reports it (P10).
    pub async fn set_emails(&self, emails: &[(Uuid, &EmailKey)]) -> Result<()> {
        if let Err(reason) = self.tx.attempt(self.move_emails(emails)).await? {
            tracing::warn!(reason, "the target refuses to move the addresses of profiles");
        }
        Ok(())
    }

    async fn move_emails(&self, emails: &[(Uuid, &EmailKey)]) -> Result<()> {
        let ids: Vec<Uuid> = emails.iter().map(|(id, _)| *id).collect();
        let keys: Vec<&str> = emails.iter().map(|(_, key)| key.as_str()).collect();
        let profiles = &self.tables.names.profiles;
        let park = format!(
            "update {profiles} p set email = {PARKED} \
             from unnest($1::uuid[], $2::text[]) as n (id, email) \
             where p.id = n.id and p.email is distinct from n.email"
        );
        let set = format!(
            "update {profiles} p set email = n.email, updated_at = now(), last_api_sync_at = now(), \
             api_sync_version = coalesce(p.api_sync_version, 0) + 1 \
             from unnest($1::uuid[], $2::text[]) as n (id, email) \
             where p.id = n.id and p.email is distinct from n.email"
        );
        self.tx.execute("target: moving addresses", &park, &[&ids, &keys]).await?;
        self.tx.execute("target: moving addresses", &set, &[&ids, &keys]).await?;
        Ok(())
    }

    /// Whose each enrollment of two merging profiles is to be.
    async fn shared_out(&self, survivor: Uuid, merged: Uuid) -> Result<Vec<(Uuid, Uuid)>> {
        let sql = format!(
            "select id, user_id, course_id from {} where user_id in ($1, $2) and course_id is not null \
             order by course_id, progress desc nulls last, (user_id = $1) desc",
            self.tables.names.enrollments
        );
        let rows =
            self.tx.query("target: reading enrollments", &sql, &[&survivor, &merged]).await?;
        let mut assignment = Vec::new();
        let mut last_course = None;
        for row in &rows {
            let (id, course): (Uuid, Uuid) = (row.get(0), row.get(2));
            let first = last_course != Some(course);
            assignment.push((id, if first { survivor } else { merged }));
            last_course = Some(course);
        }
        Ok(assignment)
    }

    /// The enrollments of these profiles with their users, for the way back.
    pub async fn enrollments_of(&self, profiles: &[Uuid]) -> Result<Vec<(Uuid, Uuid)>> {
        let sql = format!(
            // In this order the key would be walked, as nothing is sorted where another way is left.
            "select id, user_id from (select id, user_id from {} where user_id = any($1) offset 0) e order by id",
            self.tables.names.enrollments
        );
        let rows = self.tx.query("target: reading enrollments", &sql, &[&profiles]).await?;
        Ok(rows.iter().map(|row| (row.get(0), row.get(1))).collect())
    }

    /// Gives enrollments to profiles. Where two of one course swap, one waits under a course made for the
    /// moment, or at another profile: (user_id, course_id) is unique at every step.
    pub async fn assign_enrollments(&self, assignment: &[(Uuid, Uuid)]) -> Result<()> {
        let ids: Vec<Uuid> = assignment.iter().map(|(id, _)| *id).collect();
        let sql = format!(
            "select id, user_id, course_id from {} \
             where id = any($1) and user_id is not null and course_id is not null",
            self.tables.names.enrollments
        );
        let rows = self.tx.query("target: reading enrollments", &sql, &[&ids]).await?;
        let now: Vec<Course> = rows
            .iter()
            .map(|row| Course { id: row.get(0), user_id: row.get(1), course_id: row.get(2) })
            .collect();
        let wanted = |id: Uuid| assignment.iter().find(|(e, _)| *e == id).map(|(_, user)| *user);
        let mut moving: Vec<(&Course, Uuid)> = Vec::new();
        for course in &now {
            if let Some(user) = wanted(course.id).filter(|user| *user != course.user_id) {
                moving.push((course, user));
            }
        }
        for (course, user) in &moving {
            let in_the_way = moving.iter().find(|(other, _)| {
                other.id != course.id
                    && other.course_id == course.course_id
                    && other.user_id == *user
            });
            match in_the_way {
                Some((other, other_user)) if other.id > course.id => {
                    self.swap_enrollments(course, *user, other, *other_user).await?;
                }
                Some(_) => {}
                None => self.set_user(course.id, *user).await?,
            }
        }
        Ok(())
    }

    async fn swap_enrollments(
        &self,
        first: &Course,
        first_user: Uuid,
        second: &Course,
        second_user: Uuid,
    ) -> Result<()> {
        let swap = (first, first_user, second, second_user);
        if self.may_make_courses().await?
            && self.tx.attempt(self.swap_under_a_course(swap)).await?.is_ok()
        {
            return Ok(());
        }
        self.swap_under_a_profile(swap).await
    }

    /// Whether the role may make and remove courses, and no policy has a say in it.
    async fn may_make_courses(&self) -> Result<bool> {
        let sql = "select has_table_privilege(c, 'INSERT') and has_table_privilege(c, 'DELETE') and not row_security_active(c) \
                   from to_regclass($1) c";
        let rows = self.tx.query(SWAPPING, sql, &[&self.tables.names.courses]).await?;
        Ok(rows.first().and_then(|row| row.get::<_, Option<bool>>(0)).unwrap_or(false))
    }

    async fn swap_under_a_course(
        &self,
        (first, first_user, second, second_user): Swap<'_>,
    ) -> Result<()> {
        let names = &self.tables.names;
        let parked = Uuid::new_v4();
        let park = format!("insert into {} (id, title) values ($1, 'moving')", names.courses);
        self.tx.execute(SWAPPING, &park, &[&parked]).await?;
        let course = format!("update {} set course_id = $2 where id = $1", names.enrollments);
        self.tx.execute(SWAPPING, &course, &[&first.id, &parked]).await?;
        self.set_user(second.id, second_user).await?;
        self.set_user(first.id, first_user).await?;
        self.tx.execute(SWAPPING, &course, &[&first.id, &first.course_id]).await?;
        let unpark = format!("delete from {} where id = $1", names.courses);
        self.tx.execute(SWAPPING, &unpark, &[&parked]).await?;
        Ok(())
    }

    /// Where no course can be made, somebody without the course holds the one for a moment.
    async fn swap_under_a_profile(
        &self,
        (first, first_user, second, second_user): Swap<'_>,
    ) -> Result<()> {
        let names = &self.tables.names;
        let free = format!(
            "select p.id from {} p where not exists ( \
                 select from {} e where e.user_id = p.id and e.course_id = $1 offset 0) \
             order by p.id limit 1",
            names.profiles, names.enrollments,
        );
        let rows = self.tx.query(SWAPPING, &free, &[&first.course_id]).await?;
        let Some(free) = rows.first().map(|row| row.get::<_, Uuid>(0)) else {
            return Err(Error::data(
                SWAPPING,
                "no course can be made, and every profile has this one",
            ));
        };
        self.set_user(first.id, free).await?;
        self.set_user(second.id, second_user).await?;
        self.set_user(first.id, first_user).await
    }

    async fn set_user(&self, enrollment: Uuid, user: Uuid) -> Result<()> {
        let sql = format!(
            "update {} set user_id = $2, updated_at = now() where id = $1",
            self.tables.names.enrollments
        );
        self.tx.execute("target: handing enrollments over", &sql, &[&enrollment, &user]).await?;
        Ok(())
    }
}
