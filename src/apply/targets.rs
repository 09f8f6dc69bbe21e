//! Rows of the configured target tables: profiles, transactions, enrollments.

use uuid::Uuid;

use super::Writer;
use super::db::Db;
use super::statements::PARKED;
use super::text::{TextColumns, array, date, instant};
use crate::error::{Error, Result};
use crate::unify::{Enrollment, Profile, Transaction};

/// Rows written to one table.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Written {
    /// Rows that existed and differed.
    pub updated: u64,
    /// Rows that were not there.
    pub inserted: u64,
}

async fn write(db: &Db, what: &str, sql: &str, rows: &TextColumns) -> Result<Written> {
    if rows.is_empty() {
        return Ok(Written::default());
    }
    let counted = db.query(what, sql, &rows.params()).await?;
    let count = |i| counted.first().map_or(0, |row| row.get::<_, i64>(i).unsigned_abs());
    Ok(Written { updated: count(0), inserted: count(1) })
}

impl Writer {
    /// Writes profiles, also where unique values move between rows.
    pub(super) async fn write_profiles(&self, profiles: &[(Uuid, &Profile)]) -> Result<Written> {
        self.park_unique_values(profiles).await?;
        let rows = TextColumns::of(profiles, |(id, profile)| {
            [
                Some(id.to_string()),
                Some(profile.email.to_string()),
                profile.first_name.clone(),
                profile.last_name.clone(),
                profile.phone.clone(),
                Some(array(&profile.tags)),
                Some(profile.acquisition_source.to_owned()),
                profile.payment_source.map(str::to_owned),
                profile.cohort_date.map(date),
                profile.systemeio_id.clone(),
                profile.systemeio_tags.clone(),
                profile.created_at.map(instant),
                profile.last_active_at.map(instant),
                Some(profile.api_source.to_owned()),
            ]
        });
        write(&self.db, "target: writing profiles", &self.tables.write_profiles, &rows).await
    }

    /// Frees addresses and systemeio_ids that other rows hold: of rows in the same set, which get their own
    /// next, an address that is no longer the holder's, and a systemeio_id of any person of ours (SPEC §4.5).
    async fn park_unique_values(&self, profiles: &[(Uuid, &Profile)]) -> Result<()> {
        let ids: Vec<Uuid> = profiles.iter().map(|(id, _)| *id).collect();
        let emails: Vec<&str> = profiles.iter().map(|(_, p)| p.email.as_str()).collect();
        let systemeio: Vec<Option<&str>> =
            profiles.iter().map(|(_, p)| p.systemeio_id.as_deref()).collect();
        let table = &self.tables.names.profiles;
        let park_email = format!(
            "update {table} p set email = {PARKED} \
             from unnest($1::uuid[], $2::text[]) as n (id, email) \
             where p.email = n.email and p.id <> n.id and (p.id = any($1) or exists ( \
                 select from tributary.person o \
                 where o.profile_id = p.id and o.email_key <> n.email))"
        );
        let park_systemeio = format!(
            "update {table} p set systemeio_id = null \
             from unnest($1::uuid[], $2::text[]) as n (id, systemeio_id) \
             where p.systemeio_id = n.systemeio_id and p.id <> n.id \
               and exists (select from tributary.person o where o.profile_id = p.id)"
        );
        // One after the other: of two at once, the second would tell of the first one's failure as its own.
        let what = "target: freeing unique values";
        self.db.execute(what, &park_email, &[&ids, &emails]).await?;
        self.db.execute(what, &park_systemeio, &[&ids, &systemeio]).await?;
        Ok(())
    }

    pub(super) async fn write_transactions(
        &self,
        transactions: &[(Option<Uuid>, &Transaction)],
    ) -> Result<Written> {
        transactions.iter().try_for_each(|(_, transaction)| self.fits(transaction))?;
        let rows = TextColumns::of(transactions, |(user, t)| transaction_columns(*user, t));
        write(&self.db, "target: writing transactions", &self.tables.write_transactions, &rows)
            .await
    }

    /// Money is never rounded (SPEC §3.8), as a narrower column would do without a word.
    fn fits(&self, transaction: &Transaction) -> Result<()> {
        let tables = &self.tables;
        for (column, value, scale) in [
            ("amount", Some(transaction.amount), tables.amount_scale),
            ("payment_provider_fee", transaction.payment_provider_fee, tables.fee_scale),
        ] {
            if value.zip(scale).is_some_and(|(value, scale)| value.normalize().scale() > scale) {
                let cause = format!("the column {column} keeps fewer digits after the point");
                return Err(Error::data("target: writing transactions", cause));
            }
        }
        Ok(())
    }

    pub(super) async fn write_enrollments(
        &self,
        enrollments: &[(Uuid, &Enrollment)],
    ) -> Result<Written> {
        let rows = TextColumns::of(enrollments, |(user, enrollment)| {
            let name = format!("enrollment:{user}:{}", enrollment.course_id);
            [
                Some(Uuid::new_v5(&crate::rules::NAMESPACE, name.as_bytes()).to_string()),
                Some(user.to_string()),
                Some(enrollment.course_id.to_string()),
                Some(enrollment.transaction_id.to_string()),
                Some(enrollment.status.as_str().to_owned()),
                enrollment.start_date.map(date),
                enrollment.expiry_date.map(date),
                enrollment.cohort_month.clone(),
                enrollment.cohort_quarter.clone(),
            ]
        });
        write(&self.db, "target: writing enrollments", &self.tables.write_enrollments, &rows).await
    }

    /// Revokes managed enrollments of these profiles that no transaction opens any more (SPEC §5.4).
    pub(super) async fn revoke_enrollments(
        &self,
        profiles: &[Uuid],
        kept: &[(Uuid, &Enrollment)],
    ) -> Result<u64> {
        let users: Vec<Uuid> = kept.iter().map(|(user, _)| *user).collect();
        let courses: Vec<Uuid> = kept.iter().map(|(_, e)| e.course_id).collect();
        let sql = format!(
            "update {} e set transaction_id = null, updated_at = now(), \
               status = case when e.completion_date is null then 'revoked' else e.status end \
             where e.user_id = any($1) and e.metadata::jsonb ->> 'managed_by' = 'tributary' \
               and (e.transaction_id is not null \
                 or (e.completion_date is null and e.status is distinct from 'revoked')) \
               and not exists (select from unnest($2::uuid[], $3::uuid[]) as k (u, c) \
                 where k.u = e.user_id and k.c = e.course_id)",
            self.tables.names.enrollments
        );
        self.db.execute("target: revoking enrollments", &sql, &[&profiles, &users, &courses]).await
    }
}

fn transaction_columns(user: Option<Uuid>, t: &Transaction) -> [Option<String>; 25] {
    [
        Some(t.id.to_string()),
        user.map(|user| user.to_string()),
        Some(t.amount.to_string()),
        Some(t.currency.clone()),
        Some(t.status.as_str().to_owned()),
        t.payment_method.clone(),
        Some("xendit".to_owned()),
        Some(t.payment_provider_id.clone()),
        t.payment_provider_fee.map(|fee| fee.to_string()),
        t.description.clone(),
        t.product_name.clone(),
        t.product_type.clone(),
        t.product_id.map(|id| id.to_string()),
        t.created_at.map(instant),
        t.updated_at.map(instant),
        t.paid_at.map(instant),
        t.settled_at.map(instant),
        t.cancelled_at.map(instant),
        t.refunded_at.map(instant),
        t.failed_at.map(instant),
        t.failure_reason.clone(),
        Some(t.metadata.to_string()),
        Some("xendit".to_owned()),
        t.fiscal_year.map(|year| year.to_string()),
        t.fiscal_quarter.map(|quarter| quarter.to_string()),
    ]
}
