//! However changes arrive, the targets are what a fresh backfill gives (P1, P3).

use tributary::demo::load;
use tributary::demo::source_schema::SourceLayout;

use crate::support::compare::assert_equals_fresh_backfill;
use crate::support::world::{Places, World, dirty, set};

#[tokio::test(flavor = "multi_thread")]
async fn changes_before_during_and_after_the_backfill_converge() {
    use {Places as P, SourceLayout as L};
    let table = [
        (1, L::Canonical, P::Shared),
        (2, L::Canonical, P::OneDatabase),
        (3, L::Canonical, P::TwoServers),
        (4, L::Legacy, P::Shared),
        (5, L::Legacy, P::OneDatabase),
    ];
    for (seed, layout, places) in table {
        let world = World::new(layout, places).await;
        world.configure(|table| set(table, "run", "chunk_rows", 200));
        let population = dirty(seed, 800);
        world.load(&population, 1_000, 2_000).await;
        world.source.execute(changes(layout, 0)).await;
        let mut daemon = world.start();
        world.source.execute(changes(layout, 1)).await;
        daemon.wait_for_phase("streaming").await;
        world.source.execute(changes(layout, 2)).await;
        let client = world.source.connect().await;
        load::load(&client, layout, &population, 1_000..1_200, 2_000..2_400).await.unwrap();
        daemon.wait_until_caught_up(&world).await;
        assert_equals_fresh_backfill(&world).await;
    }
}

/// Statements that differ by round: status, e-mail and key changes, deletes, and a rolled back part.
fn changes(layout: SourceLayout, round: usize) -> &'static str {
    match (layout, round) {
        (SourceLayout::Canonical, 0) => {
            "delete from xendit where id::text like '1%'; update systemeio set tags = 'PaidP2P' where id::text like '2%'"
        }
        (SourceLayout::Canonical, 1) => {
            "begin; update xendit set status = 'REFUNDED' where id::text like '2%';
             savepoint s; delete from xendit; rollback to s;
             update systemeio set email = 'moved.' || email where id::text like '3a%'; commit"
        }
        (SourceLayout::Canonical, _) => {
            "begin; update xendit set id = gen_random_uuid() where id::text like '4a%';
             delete from systemeio where id::text like '5a%'; commit;
             update xendit set customer_email = upper(customer_email) where id::text like '6%';
             update systemeio set contact_id = '7' where id::text like '7a%'"
        }
        (SourceLayout::Legacy, 0) => {
            r#"delete from xendit where "External ID" like '%1'; update systemeio set "Tag" = 'PaidP2P'"#
        }
        (SourceLayout::Legacy, 1) => {
            r#"begin; update xendit set "Status" = 'REFUNDED' where "External ID" like '%2';
               savepoint s; delete from xendit; rollback to s;
               update systemeio set "Email" = 'moved.' || "Email" where "Email" like 'a%'; commit"#
        }
        (SourceLayout::Legacy, _) => {
            r#"update xendit set "External ID" = 'new-' || "External ID" where "External ID" like '%3';
               delete from systemeio where "Email" like 'c%';
               update xendit set "Customer Email" = upper("Customer Email") where "External ID" like '%5'"#
        }
    }
}
