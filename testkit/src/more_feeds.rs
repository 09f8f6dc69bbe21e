//! The further feeds of SPEC §1: orders of a shop, charges of a card processor, leads and readers, mostly of people whom the
//! first two feeds know.

use std::time::Duration;

use postgres_protocol::escape::escape_literal;
use tokio_postgres::Client;
use tokio_postgres::error::SqlState;
use tokio_util::sync::CancellationToken;

use crate::cluster::connect;
use crate::error::{Context as _, Error, Result};
use crate::random::Random;

/// The statements that create the four tables.
pub const TABLES: &str = include_str!("sql/more_feeds.sql");

const WHAT: &str = "making rows of further feeds";

/// Creates the four tables and fills them with rows about the people who are loaded; gives how many rows.
///
/// # Errors
/// Those of the server, such as tables that exist.
pub async fn load(client: &Client, seed: u64) -> Result<u64> {
    client.batch_execute(TABLES).await.context(WHAT)?;
    let rows = include_str!("sql/more_rows.sql").replace("$seed", &seed.to_string());
    client.batch_execute(&rows).await.context(WHAT)?;
    let sql = "select (select count(*) from public.shopify_orders) + (select count(*) from public.stripe_charges)
        + (select count(*) from public.purchase_leads) + (select count(*) from public.ebook_contacts)";
    let count: i64 = client.query_one(sql, &[]).await.context(WHAT)?.get(0);
    Ok(count.unsigned_abs())
}

/// Changes of the four tables until `stop`, or so many; gives how many were made.
///
/// # Errors
/// Those of the server, other than deadlocks and collisions of keys.
pub async fn change(
    url: &str,
    seed: u64,
    most: u64,
    pause: Duration,
    stop: &CancellationToken,
) -> Result<u64> {
    let client = connect(url).await?;
    let mut random = Random::new(seed, 2_000);
    let mut made = 0;
    for number in 0..most {
        if stop.is_cancelled() {
            break;
        }
        match client.execute(&statement(&mut random, number), &[]).await {
            Ok(rows) => made += rows,
            Err(error) if is_collision(&error) => {}
            Err(error) => return Err(Error::postgres(WHAT, &error)),
        }
        tokio::select! {
            () = tokio::time::sleep(pause) => {}
            () = stop.cancelled() => {}
        }
    }
    Ok(made)
}

fn is_collision(error: &tokio_postgres::Error) -> bool {
    [SqlState::T_R_DEADLOCK_DETECTED, SqlState::UNIQUE_VIOLATION]
        .iter()
        .any(|code| error.code() == Some(code))
}

/// One change; which row it takes follows from the numbers alone.
fn statement(random: &mut Random, number: u64) -> String {
    // Some payer; the table is never empty for long.
    let payer = format!(
        "(select customer_email from public.xendit where customer_email is not null and id > {}::uuid order by id limit 1)",
        escape_literal(
            &uuid::Builder::from_u128(u128::from(random.next()) << 64).into_uuid().to_string()
        )
    );
    let n = 10_000_000 + number;
    match random.below(6) {
        0 | 1 => format!(
            "insert into public.shopify_orders values ({n}, '#{n}', null, null, '{}', 'PHP', '{}', now(), now(), now(), null, \
             {}, jsonb_build_object('email', {payer}), '[{{\"title\": \"Papers to Profits\"}}]')",
            random.pick(&["paid", "pending", "paid"]),
            499 + random.below(200),
            random.chance(0.05),
        ),
        2 => format!(
            "insert into public.stripe_charges values ('ch_{n}', {}, 'php', 'succeeded', false, extract(epoch from now())::bigint, \
             {payer}, null, 'Canva Ebook', '{{}}')",
            49_900 + 100 * random.below(100),
        ),
        3 => "update public.stripe_charges set refunded = true where id = (select min(id) from public.stripe_charges where not refunded \
              and status = 'succeeded')"
            .to_owned(),
        4 => format!(
            "insert into public.ebook_contacts values ('late{n}@example.ph', 'Late Reader', now()) on conflict do nothing"
        ),
        _ => "update public.shopify_orders set cancelled_at = now(), updated_at = now() \
              where id = (select min(id) from public.shopify_orders where cancelled_at is null and financial_status = 'pending')"
            .to_owned(),
    }
}
