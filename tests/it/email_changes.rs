//! SPEC §4.3 through the running daemon: an e-mail change is judged over its whole source transaction, however it comes.

use crate::support::compare::assert_equals_fresh_backfill;
use crate::support::eventually;
use crate::support::world::{Places, World, set};

/// How the same changes reach the daemon.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Way {
    /// One source transaction that fits into a batch.
    Small,
    /// One that is applied in parts and judged in pages.
    Large,
    /// Read by the reconcile after the slot was lost, in several chunks.
    Reconcile,
}

/// Contacts before, by number. The keys of what belongs together are far apart.
const BEFORE: [(u32, &str); 13] = [
    (1, "a"),
    (9001, "a"),
    (2, "c"),
    (9002, "d"),
    (3, "e"),
    (9003, "e"),
    (4, "g"),
    (6, "i"),
    (9006, "j"),
    (7, "l"),
    (9007, "l"),
    (8, "o"),
    (9008, "p"),
];

/// What becomes of them: an address, or nothing for a contact that is deleted.
const AFTER: [(u32, &str); 11] = [
    // All contacts of a move.
    (1, "b"),
    (9001, "b"),
    // A swap.
    (2, "d"),
    (9002, "c"),
    // The other one is deleted.
    (3, "f"),
    (9003, ""),
    // A new contact comes to the same address.
    (4, "h"),
    (9005, "h"),
    // Two people to one address.
    (6, "k"),
    (9006, "k"),
    // The other one stays.
    (7, "m"),
];

const CONFLICTS: &str = "
    select string_agg(replace(kind || ' ' || subject || ' ' || right(evidence ->> 'source_row', 4), '@example.com', ''),
        ', ' order by kind, subject)
    from tributary.conflict where status = 'open' and kind like 'email_change_%'";

fn id(number: u32) -> String {
    format!("'00000000-0000-4000-9000-{number:012}'")
}

fn insert(number: u32, name: &str) -> String {
    format!("insert into systemeio (id, email) values ({}, '{name}@example.com');", id(number))
}

fn change((number, name): (u32, &str)) -> String {
    let id = id(number);
    let is_there = BEFORE.iter().any(|(before, _)| *before == number);
    match name {
        "" => format!("delete from systemeio where id = {id};"),
        name if is_there => {
            format!("update systemeio set email = '{name}@example.com' where id = {id};")
        }
        name => insert(number, name),
    }
}

async fn judged(way: Way) {
    let rows: String = BEFORE.iter().map(|(number, name)| insert(*number, name)).collect();
    let payment = "insert into xendit (id, status, amount, currency, customer_email, created)
        values (gen_random_uuid(), 'PAID', 499, 'PHP', 'a@example.com', '2025-06-30T04:00:00Z');";
    let others = "insert into systemeio (id, email)
        select ('00000000-0000-4000-9000-' || lpad(n::text, 12, '0'))::uuid, 'f' || n || '@example.com'
        from generate_series(1000, 5500) as n;";
    let world = World::canonical(&format!("{rows} {payment} {others}")).await;
    world.configure(|table| set(table, "run", "chunk_rows", 500));
    let mut daemon = world.started().await;
    let of_a = world.target.value("select id from unified_profiles where email = 'a@example.com'");
    let of_a = of_a.await;
    let mut changes: String = AFTER.iter().map(|after| change(*after)).collect();
    if way != Way::Small {
        changes.push_str("update systemeio set email = 'g' || email where email like 'f%@%' and length(email) > 13;");
    }
    if way == Way::Reconcile {
        // In the order of their keys, so that what belongs together is in different chunks.
        changes.push_str(
            "create temp table kept on commit drop as table systemeio; truncate systemeio;
             insert into systemeio select * from kept order by id;",
        );
    }
    let changes = format!("begin; {changes} commit");
    if way == Way::Reconcile {
        assert_eq!(daemon.terminate().await.code(), Some(0));
        world.drop_slot().await;
        world.source.execute(&changes).await;
        daemon = world.start();
        daemon.wait_for_phase("streaming").await;
    } else {
        world.source.execute(&changes).await;
    }
    daemon.wait_until_caught_up(&world).await;
    let expected = "email_change_collision c|d 0002, email_change_collision d|c 9002, \
                    email_change_collision g|h 0004, email_change_collision i|k 0006, \
                    email_change_collision j|k 9006, email_change_split l|m 0007";
    assert_eq!(world.target.value(CONFLICTS).await, expected, "{way:?}");
    let of_b = "select id from unified_profiles where email = 'b@example.com'";
    assert_eq!(world.target.value(of_b).await, of_a, "{way:?}");
    assert_eq!(world.target.value("select user_id from transactions").await, of_a, "{way:?}");
    let moved =
        "select string_agg(left(a, 1) || left(b, 1), ' ' order by a) from tributary.decision
        where kind = 'alias' and automatic and length(a) = 13";
    assert_eq!(world.target.value(moved).await, "ab ef", "{way:?}");
    assert_equals_fresh_backfill(&world).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_small_transaction_is_judged_as_a_whole() {
    judged(Way::Small).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_large_transaction_is_judged_as_a_whole_over_its_pages() {
    judged(Way::Large).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_reconcile_is_judged_as_one_transaction_over_its_chunks() {
    judged(Way::Reconcile).await;
}

/// A contact of a feed that is not read again is still there.
#[tokio::test(flavor = "multi_thread")]
async fn a_reconcile_of_one_feed_counts_the_contacts_of_the_others() {
    let world = World::with_more_feeds(Places::Shared).await;
    let rows = "insert into systemeio (id, email, first_name) values (md5('s')::uuid, 'a@example.com', 'Ana');
        insert into purchase_leads (id, email, first_name) values (md5('l')::uuid, 'a@example.com', 'Ana')";
    world.source.execute(rows).await;
    let daemon = world.started().await;
    assert_eq!(daemon.terminate().await.code(), Some(0));
    let unseen = format!(
        "alter publication {0} drop table systemeio; update systemeio set email = 'b@example.com';
         alter publication {0} add table systemeio",
        world.slot
    );
    world.source.execute(&unseen).await;
    let daemon = world.started().await;
    let split = "select string_agg(kind || ' ' || subject, ', ') from tributary.conflict
        where status = 'open' and kind like 'email_change_%'";
    let is_split = || async {
        world.target.value(split).await == "email_change_split a@example.com|b@example.com"
    };
    eventually("the split", || daemon.log(), is_split).await;
    assert_eq!(world.target.value("select count(*) from tributary.decision").await, "0");
}

/// Rows of a large transaction that get other keys, in a chain and in a swap within one part, are the same rows.
#[tokio::test(flavor = "multi_thread")]
async fn rows_that_change_their_keys_in_a_large_transaction_keep_their_past() {
    let contacts: String =
        [(1, "a"), (2, "b"), (3, "c")].iter().map(|(number, name)| insert(*number, name)).collect();
    let world = World::canonical(&contacts).await;
    let daemon = world.started().await;
    let rekey = |from, to, name: &str| {
        let (from, to) = (id(from), id(to));
        format!("update systemeio set id = {to}, email = '{name}@example.com' where id = {from};")
    };
    let changes = [
        // a moves to d, over two keys.
        rekey(1, 11, "a"),
        rekey(11, 12, "d"),
        // b and c exchange their keys, and b moves to e.
        rekey(2, 20, "b"),
        rekey(3, 2, "c"),
        rekey(20, 3, "e"),
    ]
    .concat();
    let payments = "insert into xendit (id, status, amount, currency, created)
        select gen_random_uuid(), 'PAID', 499, 'PHP', '2025-06-30T04:00:00Z' from generate_series(1, 5000);";
    world.source.execute(&format!("begin; {changes} {payments} commit")).await;
    daemon.wait_until_caught_up(&world).await;
    assert_eq!(world.target.value(CONFLICTS).await, "");
    let moved =
        "select string_agg(left(a, 1) || left(b, 1), ' ' order by a) from tributary.decision
        where kind = 'alias' and automatic";
    assert_eq!(world.target.value(moved).await, "ad be");
    assert_eq!(world.target.value("select count(*) from unified_profiles").await, "3");
    assert_equals_fresh_backfill(&world).await;
}

/// Who comes and moves while the daemon is down has the profile that both would have had one by one (SPEC §4.1, §4.3).
#[tokio::test(flavor = "multi_thread")]
async fn who_comes_and_moves_in_one_batch_keeps_the_profile_of_the_first_address() {
    let world = World::canonical("").await;
    let daemon = world.started().await;
    assert_eq!(daemon.terminate().await.code(), Some(0));
    let known = "00000000-0000-4000-a000-000000000001";
    let profiles =
        format!("insert into unified_profiles (id, email) values ('{known}', 'zoe@example.com')");
    world.target.execute(&profiles).await;
    let mut changes: Vec<String> = (100..130).map(|n| insert(n, &format!("n{n}"))).collect();
    changes.extend([insert(1, "zoe"), insert(2, "ann")]);
    let moves = [(1, "zoe1"), (2, "ann1"), (1, "zoe2")].map(|(number, name)| {
        format!("update systemeio set email = '{name}@example.com' where id = {};", id(number))
    });
    changes.extend(moves);
    for change in &changes {
        world.source.execute(change).await;
    }
    let daemon = world.started().await;
    let of_zoe = format!("select email from unified_profiles where id = '{known}'");
    assert_eq!(world.target.value(&of_zoe).await, "zoe2@example.com", "{}", daemon.log());
    let of_ann = "select count(*) from unified_profiles where email like 'ann%'";
    assert_eq!(world.target.value(of_ann).await, "1");
    let decided = format!("select count(*) from tributary.decision where profile_id = '{known}'");
    assert_eq!(world.target.value(&decided).await, "2");
}
