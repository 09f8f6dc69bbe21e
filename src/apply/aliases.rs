//! Carries out what the e-mail change rule decides (SPEC §4.3): aliases, persons, owners of facts.

use std::collections::{BTreeSet, HashSet};

use super::moves::{self, Counts, Knowledge, Step, Transition};
use super::{Touched, Writer};
use crate::error::Result;
use crate::facts::{EmailKey, Feed, canonical_key, source_row};
use crate::unify;

/// Who automatic decisions are recorded for.
const ACTOR: &str = "tributary";

impl Writer {
    pub(super) async fn judge_moves(
        &mut self,
        transitions: &[Transition],
        touched: &mut Touched,
    ) -> Result<()> {
        let mut known = self.knowledge(transitions).await?;
        let steps = moves::walk(transitions, &mut known);
        let mut collisions = Vec::new();
        let mut wave: Vec<(EmailKey, EmailKey, bool)> = Vec::new();
        for step in steps {
            match step {
                Step::Collision { from, to, contact } => {
                    let row = source_row(Feed::Systemeio, &contact);
                    collisions.push(unify::email_change_collision(
                        from.as_str(),
                        to.as_str(),
                        &row,
                    ));
                    touched.owners.extend([from.to_string(), to.to_string()]);
                }
                Step::Split { from, to, contact } => {
                    let row = source_row(Feed::Systemeio, &contact);
                    collisions.push(unify::email_change_split(from.as_str(), to.as_str(), &row));
                    touched.owners.extend([from.to_string(), to.to_string()]);
                }
                Step::Move { from, to, reopened } => {
                    let named: HashSet<&EmailKey> =
                        wave.iter().flat_map(|(from, to, _)| [from, to]).collect();
                    if named.contains(&from) || named.contains(&to) {
                        self.carry_out(std::mem::take(&mut wave), touched).await?;
                    }
                    wave.push((from, to, reopened));
                }
            }
        }
        self.carry_out(wave, touched).await?;
        self.open_conflicts(collisions).await
    }

    /// What must be known to judge these transitions, of the keys that moves involve only.
    async fn knowledge(&self, transitions: &[Transition]) -> Result<Knowledge> {
        let involved: BTreeSet<&EmailKey> = transitions
            .iter()
            .filter(|transition| moves::may_move(transition))
            .flat_map(|transition| transition.old.iter().chain(&transition.new))
            .collect();
        let keys: Vec<&str> = involved.iter().map(|key| key.as_str()).collect();
        let sql = include_str!("sql/alias_component.sql");
        let rows = self.db.query("target: looking up aliases", sql, &[&keys]).await?;
        let key = |row: &tokio_postgres::Row, i| EmailKey::trusted(row.get::<_, String>(i));
        let roots: Vec<_> = rows.iter().map(|row| (key(row, 0), key(row, 1))).collect();
        let automatic: Vec<_> =
            rows.iter().filter(|row| row.get(2)).map(|row| key(row, 0)).collect();
        let mut counted: BTreeSet<EmailKey> = involved.into_iter().cloned().collect();
        counted.extend(roots.iter().flat_map(|(from, root)| [from.clone(), root.clone()]));
        let counted: Vec<&str> = counted.iter().map(EmailKey::as_str).collect();
        let sql = include_str!("sql/facts_by_email.sql");
        let rows = self.db.query("target: counting facts", sql, &[&counted]).await?;
        let counts = rows
            .iter()
            .map(|row| (key(row, 0), Counts { facts: row.get(1), contacts: row.get(2) }));
        Ok(Knowledge::new(roots, automatic, counts))
    }

    /// Carries out moves that name each person once, as sets.
    async fn carry_out(
        &mut self,
        wave: Vec<(EmailKey, EmailKey, bool)>,
        touched: &mut Touched,
    ) -> Result<()> {
        if wave.is_empty() {
            return Ok(());
        }
        let from: Vec<&str> = wave.iter().map(|(from, _, _)| from.as_str()).collect();
        let to: Vec<&str> = wave.iter().map(|(_, to, _)| to.as_str()).collect();
        let canonical: Vec<String> = wave.iter().map(|(_, to, _)| canonical_key(to)).collect();
        let reopened: Vec<&str> = wave
            .iter()
            .filter(|(_, _, reopened)| *reopened)
            .map(|(_, to, _)| to.as_str())
            .collect();
        if !reopened.is_empty() {
            let sql = include_str!("sql/revert_automatic_aliases.sql");
            self.db.execute("target: reverting aliases", sql, &[&reopened, &ACTOR]).await?;
        }
        self.forget_waiting(&from).await?;
        self.forget_waiting(&to).await?;
        let sql = include_str!("sql/record_moves.sql");
        self.db.execute("target: recording moves", sql, &[&from, &to, &ACTOR]).await?;
        // The rare pairs where both have a profile are joined one by one; the others move as a set.
        let sql = include_str!("sql/moves_onto_people.sql");
        for row in self.db.query("target: looking up persons", sql, &[&from, &to]).await? {
            let (from, to) = (EmailKey::trusted(row.get(1)), EmailKey::trusted(row.get(2)));
            self.join_people(&from, &to, super::Merge::KeepFrom, row.get(0)).await?;
        }
        let sql = include_str!("sql/rename_persons.sql");
        self.db.execute("target: renaming persons", sql, &[&from, &to, &canonical]).await?;
        self.hand_over_facts(&from, &to, touched).await?;
        let named = || from.iter().chain(&to).map(|key| (*key).to_owned());
        touched.owners.extend(named());
        touched.people.extend(named());
        Ok(())
    }

    /// The facts of each person `from` become those of `to`, and so do the aliases that end there.
    ///
    /// # Errors
    /// Those of the target.
    pub async fn hand_over_facts(
        &self,
        from: &[&str],
        to: &[&str],
        touched: &mut Touched,
    ) -> Result<()> {
        for sql in [
            "delete from tributary.alias where from_key = any($2) and $1::text[] is not null",
            "update tributary.alias a set root_key = n.t \
             from unnest($1::text[], $2::text[]) as n (f, t) where a.root_key = n.f",
            "insert into tributary.alias (from_key, root_key) \
             select * from unnest($1::text[], $2::text[])",
            "update tributary.contact c set owner = n.t \
             from unnest($1::text[], $2::text[]) as n (f, t) where c.owner = n.f",
            "update tributary.payment p set owner = n.t \
             from unnest($1::text[], $2::text[]) as n (f, t) where p.owner = n.f",
        ] {
            self.db.execute("target: handing facts over", sql, &[&from, &to]).await?;
        }
        self.touch_shared_ids(to, touched).await
    }
}
