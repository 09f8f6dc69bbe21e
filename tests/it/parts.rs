//! A source transaction that is applied in parts comes to what it would in one batch.

use crate::support::world::World;

const PAYMENTS: &str = "insert into xendit (id, status, amount, currency, customer_email, created)
    select ('00000000-0000-4000-8000-' || lpad(n::text, 12, '0'))::uuid, 'PAID', 499, 'PHP', 'p' || n || '@example.com',
        '2025-06-30T04:00:00Z'
    from generate_series(1, 1500) as n";

const CONFLICTS: &str =
    "select coalesce(string_agg(kind || ' ' || subject, ', ' order by kind, subject), 'none')
    from tributary.conflict where status = 'open' and kind in ('rejected_row', 'delete_blocked')";

/// A transaction that touches every payment, too large for memory.
async fn large_transaction(world: &World, statements: &str) {
    let touch = "update xendit set amount = amount + 1";
    world.source.execute(&format!("begin; {touch}; {statements}; commit")).await;
}

/// P9: rows that get other keys and are deleted in a later part are deletes for the guard.
#[tokio::test(flavor = "multi_thread")]
async fn rows_that_get_new_keys_and_are_deleted_later_count_as_deleted_p9() {
    let world = World::canonical(PAYMENTS).await;
    let mut daemon = world.started().await;
    let transactions = "select count(*) from transactions";
    let statements = "begin; update xendit set id = gen_random_uuid(); delete from xendit; commit";
    world.source.execute(statements).await;
    daemon.wait_for_phase("halted").await;
    assert_eq!(world.target.value(transactions).await, "1500");
    world.succeed(&["accept"]).await;
    daemon.wait_for_phase("streaming").await;
    daemon.wait_until_caught_up(&world).await;
    assert_eq!(world.target.value(transactions).await, "0");
}

/// P20: what was written of a quarantined person is not what its digests say.
#[tokio::test(flavor = "multi_thread")]
async fn a_person_that_the_target_accepts_again_is_linked_to_its_transactions() {
    let world = World::canonical(PAYMENTS).await;
    world.succeed(&["migrate"]).await;
    let refuse = "create function refuse() returns trigger language plpgsql as $$ begin
          if new.email = 'p7@example.com' then raise exception 'no'; end if; return new; end $$;
        create trigger refuse before insert or update on unified_profiles
          for each row execute function refuse()";
    world.target.execute(refuse).await;
    let daemon = world.started().await;
    let unlinked =
        "select string_agg(right(id::text, 4), ', ') from transactions where user_id is null";
    assert_eq!(world.target.value(unlinked).await, "0007");
    // Its own next attempt does not come in between.
    let later = "update tributary.quarantine set next_attempt_at = 'infinity'";
    world.target.execute(&format!("drop trigger refuse on unified_profiles; {later}")).await;
    let others = "update xendit set fees = 1 where customer_email <> 'p7@example.com'";
    let contact = "insert into systemeio (id, contact_id, email, created_at)
        values (gen_random_uuid(), 'c7', 'p7@example.com', '2025-01-01Z')";
    world.source.execute(&format!("begin; {others}; {contact}; commit")).await;
    daemon.wait_until_caught_up(&world).await;
    assert_eq!(world.target.value(unlinked).await, "");
    world.succeed(&["verify"]).await;
}

/// P3: a row that somebody else deleted is made again by the next change of its person.
#[tokio::test(flavor = "multi_thread")]
async fn rows_that_the_application_deleted_come_back_without_a_conflict() {
    let world = World::canonical(PAYMENTS).await;
    let daemon = world.started().await;
    world
        .target
        .execute(
            "delete from transactions where id::text like '%0007';
             update transactions set user_id = null where id::text like '%0009';
             delete from unified_profiles where email = 'p9@example.com'",
        )
        .await;
    large_transaction(&world, "select 1").await;
    daemon.wait_until_caught_up(&world).await;
    assert_eq!(world.target.value(CONFLICTS).await, "none");
    let linked = "select count(*) from transactions t join unified_profiles p on p.id = t.user_id";
    assert_eq!(world.target.value(linked).await, "1500");
}

/// SPEC §6: a blocked delete is over once its payment is there again.
#[tokio::test(flavor = "multi_thread")]
async fn a_payment_that_comes_back_ends_its_blocked_delete() {
    let world = World::canonical(PAYMENTS).await;
    let daemon = world.started().await;
    let id = "00000000-0000-4000-8000-000000000007";
    let receipts = "create table receipts (transaction_id uuid references transactions)";
    world.target.execute(&format!("{receipts}; insert into receipts values ('{id}')")).await;
    world.source.execute(&format!("delete from xendit where id = '{id}'")).await;
    daemon.wait_until_caught_up(&world).await;
    let blocked = format!("delete_blocked xendit:{id}");
    assert_eq!(world.target.value(CONFLICTS).await, blocked);
    let again = PAYMENTS.replace("generate_series(1, 1500)", "generate_series(7, 7)");
    large_transaction(&world, &again).await;
    daemon.wait_until_caught_up(&world).await;
    assert_eq!(world.target.value(CONFLICTS).await, "none");
}
