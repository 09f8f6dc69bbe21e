//! The target tables as they were, held against what they became.

use std::collections::BTreeMap;

use super::changes::{Estimate, Expectation, Preview, TableChanges};
use super::expected::{self, payments_of, tagged, tags};
use crate::apply::{Applier, Mode};
use crate::config::{Config, TableName, Target};
use crate::engine::rows::Touched;
use crate::error::{Context as _, Result};
use crate::pg::{Client, Db};
use crate::rules::{Product, Status};
use crate::store;
use crate::store::backfill;
use crate::targets::changes::{self, Role};
use crate::targets::replace;

/// The working tables of a measurement.
pub(super) const PREPARE: &str =
    "create temp table if not exists tributary_supported (id uuid primary key)";

/// Comparing whole tables is no narrow look-up.
const WIDE: &str = "reset enable_seqscan; reset enable_sort; reset enable_incremental_sort";
const NARROW: &str =
    "set enable_seqscan = off; set enable_sort = off; set enable_incremental_sort = off";

const WHAT: &str = "target: measuring";

pub(super) async fn wide(db: &Db) -> Result<()> {
    db.batch(WHAT, WIDE).await
}

pub(super) async fn narrow(db: &Db) -> Result<()> {
    db.batch(WHAT, NARROW).await
}

/// An image of the target tables, in temporary tables of the session.
#[derive(Debug)]
pub struct Before;

impl Before {
    /// Takes the image, before anything is written.
    ///
    /// # Errors
    /// Those of the target.
    pub async fn take(db: &Db, target: &Target) -> Result<Self> {
        super::prepare(db).await?;
        Self::copy(db.client(), target).await?;
        Ok(Self)
    }

    /// The target tables as they were, by their names in this session.
    pub(super) fn tables(target: &Target) -> Target {
        let of = |role: Role| TableName { schema: "pg_temp".to_owned(), name: name(role) };
        Target {
            profiles: of(Role::Profiles),
            transactions: of(Role::Transactions),
            enrollments: of(Role::Enrollments),
            ..target.clone()
        }
    }

    pub(super) async fn copy(client: &Client, target: &Target) -> Result<()> {
        for role in Role::ALL {
            let (before, now) = (name(role), table(target, role).quoted());
            let sql = format!(
                "create temp table {before} as select * from {now}; create index on {before} (id); analyze {before}"
            );
            client.batch_execute(&sql).await.context("target: copying a table")?;
        }
        Ok(())
    }
}

fn name(role: Role) -> String {
    format!("tributary_{}_before", role.as_str())
}

fn table(target: &Target, role: Role) -> &TableName {
    match role {
        Role::Profiles => &target.profiles,
        Role::Transactions => &target.transactions,
        Role::Enrollments => &target.enrollments,
    }
}

/// What the backfill that has just ended did. With `replaces`, rows that nothing supports go now, unless something else refers
/// to them.
pub(super) async fn measure(
    applier: &mut Applier,
    config: &Config,
    replaces: bool,
) -> Result<Preview> {
    let expected = expected::expected(applier).await?;
    let mut preview = Preview::default();
    if replaces {
        preview.references = replace_unsupported(applier, &config.target).await?;
    }
    let db = std::sync::Arc::clone(&applier.db);
    db.batch(WHAT, WIDE).await?;
    let client = db.client();
    for role in Role::ALL {
        let now = table(&config.target, role);
        client.batch_execute(&format!("analyze {}", now.quoted())).await.context(WHAT)?;
        let changes = changes::between(client, role, &name(role), now).await?;
        preview.tables.insert(role.as_str().to_owned(), TableChanges::from(changes));
    }
    preview.conflicts = store::conflict::open_by_kind(client).await?;
    preview.rollout = store::outside::count(client).await?.into();
    let (before, found) = (Places::before(), Places::now(&config.target));
    let products = &config.rules.products;
    let before = before.figures(client, products).await?;
    let found = found.figures(client, products).await?;
    for (name, expected) in expected.counts {
        let of = |figures: &BTreeMap<String, u64>| figures.get(&name).copied().unwrap_or(0);
        let figure = Expectation { expected, found: of(&found), before: of(&before) };
        preview.business.insert(name, figure);
    }
    preview.estimate = estimate(&db, &config.target).await?;
    db.batch(WHAT, NARROW).await?;
    Ok(preview)
}

/// Removes what nothing supports, in one transaction; what refers to it instead, where something does.
async fn replace_unsupported(
    applier: &mut Applier,
    target: &Target,
) -> Result<Vec<replace::Reference>> {
    let tx = applier.begin().await?;
    tx.batch(WHAT, "analyze tributary_supported").await?;
    tx.batch(WHAT, WIDE).await?;
    let references = replace::references(&tx, target).await?;
    if references.is_empty() {
        replace::remove(&tx, target).await?;
        let forget = format!(
            "delete from tributary.profile_email e where not exists (select from {} p where p.id = e.profile_id)",
            target.profiles.quoted()
        );
        tx.execute("target: forgetting addresses", &forget, &[]).await?;
        tx.commit().await?;
        applier.db.batch(WHAT, NARROW).await?;
        // Whose second profile or transaction was removed.
        let sql = "select case kind when 'duplicate_profile' then subject else substr(scope, 7) end \
                   from tributary.conflict \
                   where kind in ('duplicate_profile', 'duplicate_transaction') and status <> 'resolved'";
        let people = applier.db.query(WHAT, sql, &[]).await?;
        let people = Touched::owners(people.iter().map(|row| row.get(0)));
        applier.recompute_alone(people, Mode::EVERYBODY).await?;
    } else {
        tx.rollback().await?;
    }
    Ok(references)
}

/// Where the three tables are.
struct Places([String; 3]);

impl Places {
    fn before() -> Self {
        Self(Role::ALL.map(name))
    }

    fn now(target: &Target) -> Self {
        Self(Role::ALL.map(|role| table(target, role).quoted()))
    }

    /// What the business can count, by name.
    async fn figures(
        &self,
        client: &Client,
        products: &[Product],
    ) -> Result<BTreeMap<String, u64>> {
        let [profiles, transactions, enrollments] = &self.0;
        let count = async |sql: String, params: &[crate::pg::Param<'_>]| -> Result<u64> {
            let row = client.query_one(&sql, params).await.context(WHAT)?;
            Ok(row.get::<_, i64>(0).unsigned_abs())
        };
        let mut figures = BTreeMap::new();
        for (name, table) in
            [("people", profiles), ("transactions", transactions), ("enrollments", enrollments)]
        {
            let all = count(format!("select count(*) from {table}"), &[]).await?;
            figures.insert(name.to_owned(), all);
        }
        let successful = Status::successful();
        for product in products {
            let sql = format!(
                "select count(*) from {transactions} where product_id = $1 and status::text = any($2)"
            );
            let payments = count(sql, &[&product.id, &successful]).await?;
            figures.insert(payments_of(product), payments);
        }
        for tag in tags(products) {
            let sql = format!("select count(*) from {profiles} where to_jsonb(tags) ? $1");
            figures.insert(tagged(tag), count(sql, &[&tag]).await?);
        }
        Ok(figures)
    }
}

async fn estimate(db: &Db, target: &Target) -> Result<Estimate> {
    let rows = backfill::progress(db).await?.map_or(0, |at| at.rows_done);
    let tables: Vec<String> = Role::ALL.iter().map(|role| table(target, *role).quoted()).collect();
    let row = db.client().query_one(include_str!("sql/sizes.sql"), &[&tables]).await;
    let row = row.context(WHAT)?;
    let bytes = |at: usize| row.get::<_, i64>(at).unsigned_abs();
    let (store_bytes, target_bytes) = (bytes(0), bytes(1));
    Ok(Estimate { seconds: 0.0, rows: rows.unsigned_abs(), store_bytes, target_bytes })
}
