//! Profiles and users of the application are looked through for their addresses (SPEC §4.1).

use std::collections::BTreeSet;

use uuid::Uuid;

use super::{Applier, Mode};
use crate::engine::rows::Touched;
use crate::error::{Error, Result};
use crate::failpoint;
use crate::pg::Tx;
use crate::store;
use crate::targets::{Report, auth_users, profile_ids};

/// Rows of a page where no batch waits for it: a few milliseconds.
pub const ROWS_OF_A_PAGE: i64 = 1_000;

/// After which row the next page of [`Applier::scan_profiles`] begins.
#[derive(Debug, Clone, Copy)]
pub enum Scanned {
    /// Users of the application.
    Users(Uuid),
    /// Profiles.
    Profiles(Uuid),
}

impl Default for Scanned {
    fn default() -> Self {
        Self::Users(Uuid::nil())
    }
}

impl Applier {
    /// Scans for profiles that were there before or were changed by the application, so that persons find them however
    /// they spell the address, and judges their persons again. `alive` is called after each page.
    ///
    /// # Errors
    /// Those of the target.
    pub async fn scan_profiles(&mut self, alive: &(dyn Fn() + Sync)) -> Result<()> {
        let mut next = Some(Scanned::default());
        while let Some(scanned) = next {
            next = self.scan_page(scanned, ROWS_OF_A_PAGE).await?;
            alive();
        }
        Ok(())
    }

    /// A page of [`Applier::scan_profiles`], of so many `rows`: users first, so that new people find them. `None`: that was the
    /// last one.
    ///
    /// # Errors
    /// Those of the target.
    pub async fn scan_page(&mut self, scanned: Scanned, rows: i64) -> Result<Option<Scanned>> {
        let after = match scanned {
            Scanned::Profiles(after) => after,
            Scanned::Users(after) => match self.scan_users(after, rows).await? {
                Some(last) => return Ok(Some(Scanned::Users(last))),
                None => Uuid::nil(),
            },
        };
        let (found, last) = profile_ids::unrecorded(&self.db, &self.tables, after, rows).await?;
        if !found.is_empty() {
            self.has_foreign_profiles = true;
            let judged = self.record_and_judge(&found, Mode::STREAM).await;
            let report = match judged {
                Err(Error::Data { .. }) => {
                    Tx::on(&self.db).rollback().await?;
                    self.record_and_judge(&found, Mode::STREAM.carefully()).await?
                }
                other => other?,
            };
            report.count();
        }
        Ok(last.map(Scanned::Profiles))
    }

    /// Records the addresses of profiles and judges their persons again, in one transaction: what is recorded is not found again.
    async fn record_and_judge(&mut self, found: &[(Uuid, String)], mode: Mode) -> Result<Report> {
        let tx = self.begin().await?;
        let owners = profile_ids::record(&tx, found).await?;
        failpoint::hit("profiles-recorded");
        let mut report = Report::default();
        // A backfill that has not come to the people yet judges everybody.
        if !store::backfill::comes_to_everybody(&self.db).await? {
            // Most profiles of a first start belong to people who are not known yet.
            let known = self.known_persons(owners).await?;
            report = self.recompute(&tx, Touched::owners(known), mode).await?;
        }
        tx.commit().await?;
        Ok(report)
    }

    /// Records the keys of users whose addresses are spelled otherwise, so that new people find them.
    async fn scan_users(&mut self, after: Uuid, rows: i64) -> Result<Option<Uuid>> {
        if !self.tables.link_auth_users {
            return Ok(None);
        }
        let (found, last) = auth_users::unrecorded(&self.db, after, rows).await?;
        if !found.is_empty() {
            let tx = self.begin().await?;
            auth_users::record(&tx, &found).await?;
            tx.commit().await?;
        }
        Ok(last)
    }

    async fn known_persons(&self, keys: BTreeSet<String>) -> Result<Vec<String>> {
        let keys: Vec<String> = keys.into_iter().collect();
        let sql = "select email_key from tributary.person where email_key = any($1)";
        let rows = self.db.query("target: looking up persons", sql, &[&keys]).await?;
        Ok(rows.iter().map(|row| row.get(0)).collect())
    }
}
