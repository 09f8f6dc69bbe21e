//! People, products and what the application owns, through the running daemon.

use testkit::random::Random;

use crate::support::compare::assert_equals_fresh_backfill;
use crate::support::world::World;

const CONTACT: &str =
    "insert into systemeio (id, contact_id, email, first_name, created_at) values";
const PAYMENT: &str = "insert into xendit (id, status, amount, currency, customer_email, description, created, paid_at) values";

/// A payment row of `PAYMENT` for a person, by the number of its key.
fn payment(number: u32, email: &str) -> String {
    let id = format!("00000000-0000-4000-8000-{number:012}");
    let at = "2025-06-30T04:00:00Z";
    format!("('{id}', 'PAID', 499, 'PHP', '{email}', 'Papers to Profits', '{at}', '{at}')")
}

fn contact(number: u32, email: &str) -> String {
    let id = format!("00000000-0000-4000-9000-{number:012}");
    format!("('{id}', 'c{number}', '{email}', 'Tala', '2025-01-01Z')")
}

/// A contact and a payment, of one person or of two.
fn one_of_each(of_contact: &str, of_payment: &str) -> String {
    format!("{CONTACT} {}; {PAYMENT} {}", contact(1, of_contact), payment(1, of_payment))
}

#[tokio::test(flavor = "multi_thread")]
async fn an_update_of_another_column_keeps_a_toasted_description() {
    for identity in ["default", "full"] {
        let world =
            World::canonical(&format!("alter table xendit replica identity {identity}")).await;
        let text = Random::new(1, 1).incompressible(100_000);
        let rows = format!("{PAYMENT} {}", payment(1, "a@example.com"));
        world.source.execute(&format!("{rows}; update xendit set description = '{text}'")).await;
        let daemon = world.started().await;
        let rows = format!("{PAYMENT} {}", payment(2, "b@example.com"));
        let insert = format!(
            "{rows}; update xendit set description = '{text}' where description <> '{text}'"
        );
        world.source.execute(&insert).await;
        world.source.execute("update xendit set status = 'SETTLED'").await;
        daemon.wait_until_caught_up(&world).await;
        let whole = format!(
            "select count(*) from transactions where status = 'SETTLED' and description = '{text}'"
        );
        assert_eq!(world.target.value(&whole).await, "2", "replica identity {identity}");
    }
}

/// The contact that holds an id from now on is not its person's first one: nobody else's row frees the id of the former holder.
#[tokio::test(flavor = "multi_thread")]
async fn a_contact_id_leaves_its_holder_where_rows_are_stored_before_people_spec_4_4() {
    let contacts = "
        insert into systemeio (id, contact_id, email, first_name, updated_at) values
            ('00000000-0000-4000-9000-000000000001', '31', 'a@example.com', 'Ana', '2025-06-02Z'),
            ('00000000-0000-4000-9000-000000000002', '900', 'b@example.com', 'Bea', '2025-06-05Z'),
            ('00000000-0000-4000-9000-000000000003', '31', 'b@example.com', 'Bea', '2025-06-01Z');
        insert into systemeio (id, email, first_name)
        select gen_random_uuid(), 'large' || n || '@example.com', 'Lia' from generate_series(1, 4) as n";
    let moves = "update systemeio set updated_at = '2025-06-04Z'
        where id = '00000000-0000-4000-9000-000000000003'";
    // People with many bytes of values; and a transaction of many rows.
    let large = "update systemeio set first_name = 'Lea' where email like 'large%'";
    let many = "insert into systemeio (id, contact_id, email)
        select gen_random_uuid(), 'm' || n, 'm' || n || '@example.com' from generate_series(1, 1100) as n";
    for beside in [large, many] {
        let text = Random::new(1, 1).incompressible(1_000_000);
        let payments: Vec<String> =
            (1..5).map(|n| payment(n, &format!("large{n}@example.com"))).collect();
        let payments = format!("{PAYMENT} {}", payments.join(", "));
        let describe = format!("update xendit set description = '{text}'");
        let world = World::canonical(&format!("{contacts}; {payments}; {describe}")).await;
        let daemon = world.started().await;
        let held = "select string_agg(email || ' ' || systemeio_id, ', ' order by email)
            from unified_profiles where email in ('a@example.com', 'b@example.com')";
        assert_eq!(world.target.value(held).await, "a@example.com 31, b@example.com 900");
        world.source.execute(&format!("{moves}; {beside}")).await;
        daemon.wait_until_caught_up(&world).await;
        assert_eq!(world.target.value(held).await, "b@example.com 900", "{beside}");
        assert_equals_fresh_backfill(&world).await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_sync_timestamp_update_leaves_xmin_of_every_target_row() {
    let rows = one_of_each("a@example.com", "a@example.com");
    let world = World::canonical(&rows).await;
    let daemon = world.started().await;
    let before = world.target.value(XMINS).await;
    world.source.execute("update xendit set sync_timestamp = now() + interval '1 day'").await;
    world.source.execute("update systemeio set sync_timestamp = now() + interval '1 day'").await;
    daemon.wait_until_caught_up(&world).await;
    assert_eq!(world.target.value(XMINS).await, before);
}

#[tokio::test(flavor = "multi_thread")]
async fn running_backfill_twice_changes_no_row() {
    let rows = one_of_each("a@example.com", "a@example.com");
    let world = World::canonical(&rows).await;
    let daemon = world.started().await;
    assert_eq!(daemon.terminate().await.code(), Some(0));
    let before = world.target.value(XMINS).await;
    world.succeed(&["backfill"]).await;
    assert_eq!(world.target.value(XMINS).await, before);
}

/// P4: what is known of rows was known for tables of other columns; it does not make them differ.
#[tokio::test(flavor = "multi_thread")]
async fn altered_target_tables_rewrite_no_row_that_is_as_it_should_be() {
    let rows = one_of_each("a@example.com", "a@example.com");
    let world = World::canonical(&rows).await;
    let daemon = world.started().await;
    assert_eq!(daemon.terminate().await.code(), Some(0));
    let added = ["unified_profiles", "transactions", "enrollments"]
        .map(|table| format!("alter table {table} add column nickname text"));
    let retyped = "alter table unified_profiles alter column first_name type varchar(200);
        alter table transactions alter column description type varchar(500);
        alter table enrollments alter column status type varchar(20)";
    for (number, altered) in [(2, added.join("; ")), (3, retyped.to_owned())] {
        world.target.execute(&altered).await;
        let before = world.target.value(XMINS).await;
        let daemon = world.started().await;
        // It adds nothing to what is known of the person.
        let another = format!("{CONTACT} {}", contact(number, "a@example.com"));
        world.source.execute(&another).await;
        daemon.wait_until_caught_up(&world).await;
        assert_eq!(world.target.value(XMINS).await, before, "{altered}");
        assert_eq!(daemon.terminate().await.code(), Some(0));
    }
    world
        .target
        .execute(&added.join("; ").replace("add column nickname text", "drop column nickname"))
        .await;
    let daemon = world.started().await;
    world.source.execute("update xendit set amount = amount + 1").await;
    daemon.wait_until_caught_up(&world).await;
    assert_equals_fresh_backfill(&world).await;
}

/// A payment that moves to somebody else and gives nothing there, beside so much else that the batch is decided in parts: the
/// enrollment that it opened, of somebody in another part, does not keep its transaction (SPEC §5.3).
#[tokio::test(flavor = "multi_thread")]
async fn the_enrollment_of_another_part_does_not_keep_a_transaction() {
    let many: Vec<u32> = (1..=30).collect();
    let contacts = many.iter().map(|n| contact(*n, &format!("m{n}@example.com")));
    let payments = many.iter().map(|n| payment(*n, &format!("m{n}@example.com")));
    let rows = format!(
        "{CONTACT} {}; {PAYMENT} {}; update xendit set description = repeat('x', 100000);
         {PAYMENT} {}, {}; update xendit set external_id = 'e', status = case customer_email
            when 'a@example.com' then 'SETTLED' else status end where description not like 'x%'",
        contacts.collect::<Vec<_>>().join(", "),
        payments.collect::<Vec<_>>().join(", "),
        payment(101, "a@example.com"),
        payment(102, "z@example.com"),
    );
    let world = World::canonical(&rows).await;
    let daemon = world.started().await;
    let of_z =
        "select count(*) from transactions where id = '00000000-0000-4000-8000-000000000102'";
    assert_eq!(world.target.value(of_z).await, "1");
    let moved = "update systemeio set first_name = 'Bea';
        update xendit set customer_email = 'a@example.com' where id = '00000000-0000-4000-8000-000000000102'";
    world.source.execute(&format!("begin; {moved}; commit")).await;
    daemon.wait_until_caught_up(&world).await;
    assert_eq!(world.target.value(of_z).await, "0");
    assert_equals_fresh_backfill(&world).await;
}

/// What once kept a transaction is gone when its payment goes too: nothing keeps it then (SPEC §5.3).
#[tokio::test(flavor = "multi_thread")]
async fn a_deleted_payment_takes_a_transaction_along_that_was_kept_before() {
    let world = World::canonical(&one_of_each("a@example.com", "a@example.com")).await;
    let daemon = world.started().await;
    let receipts = "create table receipts (transaction_id uuid references transactions);
        insert into receipts select id from transactions";
    world.target.execute(receipts).await;
    world.source.execute("update xendit set amount = null").await;
    daemon.wait_until_caught_up(&world).await;
    let statuses = "select string_agg(status, ' ') from transactions";
    assert_eq!(world.target.value(statuses).await, "VOIDED");
    world.target.execute("delete from receipts").await;
    world.source.execute("delete from xendit").await;
    daemon.wait_until_caught_up(&world).await;
    assert_eq!(world.target.value(statuses).await, "");
    assert_equals_fresh_backfill(&world).await;
}

/// The writing transaction of every row of the targets, as one text.
const XMINS: &str = "select string_agg(line, ' ' order by line) from (
    select 'p ' || id || ' ' || xmin::text as line from unified_profiles
    union all select 't ' || id || ' ' || xmin::text from transactions
    union all select 'e ' || id || ' ' || xmin::text from enrollments) as lines";

#[tokio::test(flavor = "multi_thread")]
async fn an_email_change_moves_the_person_with_its_id() {
    let rows = one_of_each("a@example.com", "a@example.com");
    let world = World::canonical(&rows).await;
    let daemon = world.started().await;
    let id = world.target.value("select id from unified_profiles").await;
    world.source.execute("update systemeio set email = 'b@example.com'").await;
    daemon.wait_until_caught_up(&world).await;
    let profiles = "select string_agg(id || ' ' || email, ', ') from unified_profiles";
    assert_eq!(world.target.value(profiles).await, format!("{id} b@example.com"));
    assert_eq!(world.target.value("select user_id from transactions").await, id);
}

#[tokio::test(flavor = "multi_thread")]
async fn unique_values_swap_between_rows() {
    let rows = [contact(1, "a@example.com"), contact(2, "b@example.com")].join(", ");
    let world = World::canonical(&format!("{CONTACT} {rows}")).await;
    let daemon = world.started().await;
    let swap =
        "update systemeio set contact_id = case contact_id when 'c1' then 'c2' else 'c1' end";
    world.source.execute(swap).await;
    daemon.wait_until_caught_up(&world).await;
    let pairs = "select string_agg(email || ' ' || systemeio_id, ', ' order by email) from unified_profiles";
    assert_eq!(world.target.value(pairs).await, "a@example.com c2, b@example.com c1");
    let swap = "update systemeio set email = case email when 'a@example.com' then 'b@example.com'
                else 'a@example.com' end";
    world.source.execute(swap).await;
    daemon.wait_until_caught_up(&world).await;
    assert_eq!(world.target.value(pairs).await, "a@example.com c1, b@example.com c2");
}

#[tokio::test(flavor = "multi_thread")]
async fn application_columns_survive() {
    let rows = one_of_each("a@example.com", "a@example.com");
    let world = World::canonical(&rows).await;
    let daemon = world.started().await;
    world
        .target
        .execute("update unified_profiles set tier = 'gold', tier_assignment_notes = 'by hand'")
        .await;
    world
        .target
        .execute(
            "update enrollments set progress = 70, notes = 'fast', completion_date = '2025-08-01'",
        )
        .await;
    let before = world.target.value("select status from enrollments").await;
    assert_ne!(before, "revoked");
    world
        .source
        .execute(
            "update systemeio set first_name = 'Ligaya'; update xendit set status = 'REFUNDED'",
        )
        .await;
    daemon.wait_until_caught_up(&world).await;
    let profile =
        "select first_name || ' ' || tier || ' ' || tier_assignment_notes from unified_profiles";
    assert_eq!(world.target.value(profile).await, "Ligaya gold by hand");
    let enrollment =
        "select trunc(progress) || ' ' || notes || ' ' || completion_date || ' ' || status
                      from enrollments";
    assert_eq!(world.target.value(enrollment).await, format!("70 fast 2025-08-01 {before}"));
}

#[tokio::test(flavor = "multi_thread")]
async fn existing_profiles_are_adopted_with_their_ids() {
    let world = World::canonical(&format!("{CONTACT} {}", contact(1, "a@example.com"))).await;
    world.succeed(&["migrate"]).await;
    let id = "11111111-1111-4111-8111-111111111111";
    let existing = format!(
        "insert into unified_profiles (id, email, tier) values ('{id}', 'A@Example.com', 'gold')"
    );
    world.target.execute(&existing).await;
    let _daemon = world.started().await;
    let profiles =
        "select string_agg(id || ' ' || email || ' ' || tier, ', ') from unified_profiles";
    assert_eq!(world.target.value(profiles).await, format!("{id} a@example.com gold"));
}

#[tokio::test(flavor = "multi_thread")]
async fn ids_too_long_for_an_index_hold_nothing_up() {
    let long = Random::new(3, 3).incompressible(20_000);
    let rows = format!(
        "{CONTACT} {}; {PAYMENT} {}; update systemeio set contact_id = '{long}'; \
         update xendit set external_id = '{long}', payment_id = '{long}'",
        contact(1, "a@example.com"),
        payment(1, "a@example.com")
    );
    let world = World::canonical(&rows).await;
    let daemon = world.started().await;
    let again = format!("{PAYMENT} {}", payment(2, "b@example.com"));
    world.source.execute(&format!("{again}; update xendit set external_id = '{long}'")).await;
    daemon.wait_until_caught_up(&world).await;
    assert_eq!(world.target.value("select count(*) from transactions").await, "2");
    let shared = "select count(*) from tributary.conflict \
                  where kind = 'duplicate_external_id' and status = 'open'";
    assert_eq!(world.target.value(shared).await, "1");
}

const PROFILE: &str = "insert into unified_profiles (id, email) values";
const OPEN: &str = "select string_agg(kind || ' ' || subject, ', ' order by kind, subject)
    from tributary.conflict where status = 'open' and kind in
    ('duplicate_profile', 'email_change_collision', 'rejected_row', 'source_absent')";

/// SPEC §4.1: the application's profile is found while the daemon runs, however it spells the address.
#[tokio::test(flavor = "multi_thread")]
async fn a_profile_that_the_application_makes_is_adopted() {
    let world = World::canonical("select 1").await;
    let daemon = world.started().await;
    let id = "00000000-0000-4000-a000-000000000001";
    world.target.execute(&format!("{PROFILE} ('{id}', '  NEW@Example.com')")).await;
    world.source.execute(&format!("{CONTACT} {}", contact(1, "new@example.com"))).await;
    daemon.wait_until_caught_up(&world).await;
    let profiles =
        "select string_agg(id || ' ' || email, ', ' order by email) from unified_profiles";
    assert_eq!(world.target.value(profiles).await, format!("{id} new@example.com"));
    // A person who moves to an address that the application has given away keeps the own profile.
    let other = "00000000-0000-4000-a000-000000000002";
    world.target.execute(&format!("{PROFILE} ('{other}', 'other@example.com')")).await;
    world.source.execute("update systemeio set email = 'other@example.com'").await;
    daemon.wait_until_caught_up(&world).await;
    assert_eq!(world.target.value(OPEN).await, "duplicate_profile other@example.com");
    world.target.execute(&format!("delete from unified_profiles where id = '{other}'")).await;
    // Nothing of the profile differs from what was decided before but could not be written.
    world.source.execute("update systemeio set photo_url = 'x'").await;
    daemon.wait_until_caught_up(&world).await;
    assert_eq!(world.target.value(OPEN).await, "");
    assert_eq!(world.target.value(profiles).await, format!("{id} other@example.com"));
}

/// Profiles are looked through in pages: those of every page are found, at the start and while the stream goes on.
#[tokio::test(flavor = "multi_thread")]
async fn many_profiles_of_the_application_are_adopted() {
    let contacts = "insert into systemeio (id, email, first_name, created_at)
        select gen_random_uuid(), 'p' || n || '@example.com', 'Ana', now() from generate_series(1, 2500) n";
    let world = World::canonical(contacts).await;
    world.succeed(&["migrate"]).await;
    let made = "insert into unified_profiles (id, email)
        select md5('p' || n)::uuid, 'P' || n || '@Example.com' from generate_series(1, 2500) n";
    world.target.execute(made).await;
    let daemon = world.started().await;
    let adopted = "select count(*) filter (where id = md5(split_part(email, '@', 1))::uuid and first_name = 'Ana') || ' of ' || count(*)
        from unified_profiles";
    assert_eq!(world.target.value(adopted).await, "2500 of 2500");
    let later = "insert into unified_profiles (id, email)
        select md5('q' || n)::uuid, 'Q' || n || '@Example.com' from generate_series(1, 1500) n";
    world.target.execute(later).await;
    let recorded = "select count(*) = 1500 from tributary.profile_email where email_key like 'q%'";
    let is_recorded = || async { world.target.value(recorded).await == "true" };
    crate::support::eventually("the new profiles", || daemon.log(), is_recorded).await;
    world.source.execute(&contacts.replace("'p'", "'q'").replace("2500", "1500")).await;
    daemon.wait_until_caught_up(&world).await;
    assert_eq!(world.target.value(adopted).await, "4000 of 4000");
}

/// The application gave a profile of ours another person's address: the profile gets its own back with that person.
#[tokio::test(flavor = "multi_thread")]
async fn an_address_that_another_person_needs_is_given_back_for_the_own_one() {
    let world = World::canonical(&format!("{CONTACT} {}", contact(1, "ana@example.com"))).await;
    let daemon = world.started().await;
    world.target.execute("update unified_profiles set email = 'ben@example.com'").await;
    world.source.execute(&format!("{CONTACT} {}", contact(2, "ben@example.com"))).await;
    daemon.wait_until_caught_up(&world).await;
    let emails = "select string_agg(email, ' ' order by email) from unified_profiles";
    assert_eq!(world.target.value(emails).await, "ana@example.com ben@example.com");
}

/// What is recorded of a profile is not found again: its person is judged with it, whenever the daemon dies.
#[tokio::test(flavor = "multi_thread")]
async fn the_person_of_a_recorded_profile_is_judged_p3() {
    let world = World::canonical(&format!("{CONTACT} {}", contact(1, "ana@example.com"))).await;
    assert_eq!(world.started().await.terminate().await.code(), Some(0));
    let other = "00000000-0000-4000-a000-000000000002";
    world.target.execute(&format!("{PROFILE} ('{other}', ' ANA@Example.com')")).await;
    world.dies(&["run"], "profiles-recorded").await;
    let daemon = world.started().await;
    assert_eq!(world.target.value(OPEN).await, "duplicate_profile ana@example.com");
    drop(daemon);
}

/// An address that the application gives back is written without any change of the source.
#[tokio::test(flavor = "multi_thread")]
async fn an_address_that_the_application_gives_back_is_written() {
    let world = World::canonical(&format!("{CONTACT} {}", contact(1, "a@example.com"))).await;
    let daemon = world.started().await;
    let other = "00000000-0000-4000-a000-000000000002";
    world.target.execute(&format!("{PROFILE} ('{other}', 'b@example.com')")).await;
    world.source.execute("update systemeio set email = 'b@example.com'").await;
    daemon.wait_until_caught_up(&world).await;
    let emails = "select string_agg(email, ' ' order by email) from unified_profiles";
    assert_eq!(world.target.value(emails).await, "a@example.com b@example.com");
    world
        .target
        .execute(&format!(
            "update unified_profiles set email = 'z@example.com' where id = '{other}'"
        ))
        .await;
    crate::support::eventually(
        "the address",
        || daemon.log(),
        || async { world.target.value(emails).await == "b@example.com z@example.com" },
    )
    .await;
    assert_eq!(world.target.value(OPEN).await, "");
}

/// SPEC §4.3: that it was the only fact of the one person makes it no lesser collision.
#[tokio::test(flavor = "multi_thread")]
async fn a_contact_that_joins_another_person_is_a_collision() {
    let rows =
        format!("{CONTACT} {}, {}", contact(1, "a@example.com"), contact(2, "b@example.com"));
    let world = World::canonical(&rows).await;
    let daemon = world.started().await;
    world
        .source
        .execute("update systemeio set email = 'b@example.com' where contact_id = 'c1'")
        .await;
    daemon.wait_until_caught_up(&world).await;
    let both = "email_change_collision a@example.com|b@example.com, source_absent a@example.com";
    assert_eq!(world.target.value(OPEN).await, both);
    world
        .source
        .execute("update systemeio set email = 'a@example.com' where contact_id = 'c1'")
        .await;
    daemon.wait_until_caught_up(&world).await;
    let back = world.target.value(OPEN).await;
    assert!(!back.contains("a@example.com|b@example.com"), "{back}");
}

/// P10: a person moves onto one whose enrollments the application keeps where they are.
#[tokio::test(flavor = "multi_thread")]
async fn a_move_goes_on_where_enrollments_may_not() {
    let rows = one_of_each("b@example.com", "p@example.com");
    let world = World::canonical(&rows).await;
    let daemon = world.started().await;
    world
        .target
        .execute(
            "create function stay() returns trigger language plpgsql as $$ begin
                 if new.user_id <> old.user_id then raise exception 'no'; end if;
                 return new; end $$;
             create trigger stay before update on enrollments for each row execute function stay()",
        )
        .await;
    world.source.execute("delete from xendit").await;
    world.source.execute("update systemeio set email = 'p@example.com'").await;
    world.source.execute(&format!("{PAYMENT} {}", payment(2, "p@example.com"))).await;
    daemon.wait_until_caught_up(&world).await;
    let enrolled = "select string_agg(p.email || ' ' || e.status, ', ' order by p.email)
        from enrollments e join unified_profiles p on p.id = e.user_id";
    assert_eq!(world.target.value(enrolled).await, "b@example.com revoked, p@example.com expired");
}

/// P10: two profiles swap their addresses where the application checks what an address looks like, and
/// where it refuses any swap the stream goes on.
#[tokio::test(flavor = "multi_thread")]
async fn addresses_swap_under_the_checks_of_the_application() {
    for check in ["check (email like '%_@_%.__%')", "check (email not like '%invalid')"] {
        let rows = one_of_each("b@example.com", "p@example.com");
        let world = World::canonical(&rows).await;
        let daemon = world.started().await;
        world.target.execute(&format!("alter table unified_profiles add {check}")).await;
        world.source.execute("delete from xendit").await;
        world.source.execute("update systemeio set email = 'p@example.com'").await;
        world.source.execute(&format!("{CONTACT} {}", contact(2, "x@example.com"))).await;
        daemon.wait_until_caught_up(&world).await;
        let profiles = "select string_agg(email, ', ' order by email) from unified_profiles";
        let all = "b@example.com, p@example.com, x@example.com";
        assert_eq!(world.target.value(profiles).await, all, "{check}");
        let name = "select first_name from unified_profiles where email = 'p@example.com'";
        let swapped = world.target.value(name).await == "Tala";
        assert_eq!(swapped, check.contains("__"), "{}", world.target.value(OPEN).await);
        if !swapped {
            assert!(world.target.value(OPEN).await.contains("rejected_row systemeio:"));
        }
    }
}

/// P10: an index holds no name of that length. It is found by its beginning.
#[tokio::test(flavor = "multi_thread")]
async fn a_name_that_no_index_holds_is_written_and_found_p10() {
    let long = |id: &str| {
        format!(
            "insert into systemeio (id, contact_id, email, last_name, first_name)
             select gen_random_uuid(), '{id}', '{id}@example.com', 'Reyes ' || string_agg(md5(n::text), ''), string_agg(md5(n::text), '')
             from generate_series(1, 400) n;
             insert into xendit (id, status, amount, currency, customer_email, customer_name, created)
             select gen_random_uuid(), 'PAID', 5, 'PHP', '{id}-paid@example.com', string_agg('Reyes ' || md5(n::text), ' '),
                 '2025-06-30T04:00:00Z' from generate_series(1, 400) n;
             insert into systemeio (id, contact_id, email, first_name) values (gen_random_uuid(), '{id}x', '{id}-next@example.com', 'Luz')"
        )
    };
    let world = World::canonical(&long("first")).await;
    let daemon = world.started().await;
    world.source.execute(&long("second")).await;
    daemon.wait_until_caught_up(&world).await;
    let written = "select count(*) || ' ' || count(*) filter (where length(last_name) > 12000) from unified_profiles";
    assert_eq!(world.target.value(written).await, "6 2", "{}", daemon.log());
    let found = "select count(*) from tributary.person_search where last_name like 'reyes %'";
    assert_eq!(world.target.value(found).await, "2");
    assert_equals_fresh_backfill(&world).await;
}
