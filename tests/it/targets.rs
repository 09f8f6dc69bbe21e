//! Target tables that were there before: other types, other tables that reference them, auth users.

use testkit::source_schema::SourceLayout;

use crate::support::compare::assert_equals_fresh_backfill;
use crate::support::eventually;
use crate::support::world::{Places, World};

const CONTACT: &str =
    "insert into systemeio (id, contact_id, email, first_name, created_at) values";
const PAYMENT: &str = "insert into xendit (id, status, amount, currency, customer_email, description, created, paid_at) values";

fn payment(number: u32, email: &str, amount: &str) -> String {
    let id = format!("00000000-0000-4000-8000-{number:012}");
    let at = "2025-06-30T04:00:00.123456Z";
    format!(
        "{PAYMENT} ('{id}', 'PAID', {amount}, 'PHP', '{email}', 'Papers to Profits', '{at}', '{at}');"
    )
}

fn contact(number: u32, email: &str) -> String {
    let id = format!("00000000-0000-4000-9000-{number:012}");
    format!("{CONTACT} ('{id}', 'c{number}', '{email}', 'Tala', '2025-01-01Z');")
}

const XMINS: &str = "select string_agg(line, ' ' order by line) from (
    select 'p ' || id || ' ' || xmin::text as line from unified_profiles
    union all select 't ' || id || ' ' || xmin::text from transactions
    union all select 'c ' || id || ' ' || xmin::text from tributary.conflict
    union all select 'e ' || id || ' ' || xmin::text from enrollments) as lines";

const CONFLICTS: &str = "select string_agg(kind || ' ' || subject, ', ' order by kind, subject)
    from tributary.conflict where status = 'open' and kind in
    ('delete_blocked', 'rejected_row', 'missing_auth_user', 'duplicate_profile')";

/// SPEC §2: an existing table keeps its types, and a value that its column rounds does not differ for ever.
#[tokio::test(flavor = "multi_thread")]
async fn existing_tables_keep_their_types() {
    let rows = format!(
        "{} {} {}",
        contact(1, "a@example.com"),
        payment(1, "a@example.com", "499.12"),
        payment(3, "a@example.com", "499.126")
    );
    let world = World::canonical(&rows).await;
    let tables = "create type standing as enum ('PAID', 'PENDING');
        create table unified_profiles (id uuid primary key, email varchar(255) unique not null,
            first_name varchar(50), created_at timestamp, tags jsonb, acquisition_source char(20));
        create table transactions (id uuid primary key, amount numeric(12,2) not null, currency char(3),
            status standing, metadata json, paid_at timestamp(0), created_at timestamptz(3));";
    world.target.execute(tables).await;
    let daemon = world.started().await;
    let transaction = "select concat_ws(' ', amount, currency, status, paid_at) from transactions";
    assert_eq!(world.target.value(transaction).await, "499.12 PHP PAID 2025-06-30 04:00:00");
    let rejected = |number| format!("rejected_row xendit:00000000-0000-4000-8000-{number:012}");
    // Money is never rounded.
    assert_eq!(world.target.value(CONFLICTS).await, rejected(3));
    world.source.execute("delete from xendit where amount = 499.126").await;
    let explain = || daemon.log();
    let nothing = || async { world.target.value(CONFLICTS).await.is_empty() };
    eventually("no refused row", explain, nothing).await;
    let profile = "select concat_ws(' ', first_name, trim(acquisition_source), tags, created_at)
        from unified_profiles";
    assert_eq!(world.target.value(profile).await, "Tala systemeio [] 2025-01-01 00:00:00");
    assert_eq!(daemon.terminate().await.code(), Some(0));
    let before = world.target.value(XMINS).await;
    world.succeed(&["backfill"]).await;
    assert_eq!(world.target.value(XMINS).await, before);
    // A status that the enum lacks is quarantined.
    world.source.execute("update xendit set status = 'SETTLED'").await;
    world.source.execute(&payment(2, "b@example.com", "1")).await;
    let _daemon = world.started().await;
    assert_eq!(world.target.value("select count(*) from transactions").await, "2");
    assert_eq!(world.target.value(CONFLICTS).await, rejected(1));
}

/// P10: what the target refuses of one row costs its person nothing else.
#[tokio::test(flavor = "multi_thread")]
async fn a_refused_row_costs_its_person_nothing_else() {
    let long = contact(1, "a@example.com").replace("Tala", "Tala Maria Concepcion Teodora");
    let rows = [
        long,
        contact(2, "a@example.com").replace("2025-01-01", "2024-01-01"),
        payment(1, "a@example.com", "499"),
        contact(3, "b@example.com"),
        payment(3, "b@example.com", "499"),
        payment(4, "c@example.com", "499").replace("2025-06-30", "2035-06-30"),
        contact(4, "c@example.com"),
    ];
    let world = World::canonical(&rows.join(" ")).await;
    world.succeed(&["migrate"]).await;
    world
        .target
        .execute(
            "alter table unified_profiles alter column first_name type varchar(20);
             insert into unified_profiles (id, email, systemeio_id)
                 values (gen_random_uuid(), 'nobody@example.com', 'c3');
             alter table enrollments add check (expiry_date < '2030-01-01')",
        )
        .await;
    world.succeed(&["backfill"]).await;
    let people =
        "select string_agg(concat_ws(' ', email, first_name, systemeio_id), ', ' order by email)
        from unified_profiles";
    assert_eq!(
        world.target.value(people).await,
        "a@example.com Tala c2, b@example.com Tala, c@example.com Tala c4, nobody@example.com c3"
    );
    assert_eq!(
        world.target.value(CONFLICTS).await,
        "rejected_row systemeio:00000000-0000-4000-9000-000000000001, \
         rejected_row systemeio:00000000-0000-4000-9000-000000000003, \
         rejected_row xendit:00000000-0000-4000-8000-000000000004"
    );
    let enrolled = "select string_agg(p.email, ', ' order by p.email)
        from enrollments e join unified_profiles p on p.id = e.user_id";
    assert_eq!(world.target.value(enrolled).await, "a@example.com, b@example.com");
    let linked = "select count(*) from transactions t join unified_profiles p on p.id = t.user_id";
    assert_eq!(world.target.value(linked).await, "3");
    let before = world.target.value(XMINS).await;
    world.succeed(&["rebuild"]).await;
    assert_eq!(world.target.value(XMINS).await, before);
    world.target.execute("delete from unified_profiles where email like 'nobody%'").await;
    world.source.execute("update systemeio set first_name = 'Tala' where contact_id = 'c1'").await;
    world.source.execute("delete from xendit where paid_at like '2035%'").await;
    world.succeed(&["backfill"]).await;
    assert_eq!(world.target.value(CONFLICTS).await, "");
}

/// SPEC §4.1: `citext` columns compare without regard to case, and addresses and names are written as decided.
#[tokio::test(flavor = "multi_thread")]
async fn an_adopted_table_may_have_citext_columns() {
    let world = World::canonical(&contact(1, "ana@example.com")).await;
    let tables = "create extension citext;
        create table unified_profiles (id uuid primary key, email citext unique not null,
            first_name citext, systemeio_id citext unique);
        insert into unified_profiles (id, email, first_name)
            values ('00000000-0000-4000-a000-000000000001', 'ANA@Example.com', 'TALA')";
    world.target.execute(tables).await;
    let daemon = world.started().await;
    let profiles = "select string_agg(concat_ws(' ', right(id::text, 4), email, first_name, systemeio_id), ', ' order by email)
        from unified_profiles";
    assert_eq!(world.target.value(profiles).await, "0001 ana@example.com Tala c1");
    // It was not scanned yet: the column's own comparison finds it.
    let made = "insert into unified_profiles (id, email)
        values ('00000000-0000-4000-a000-000000000002', 'BEA@Example.com')";
    world.target.execute(made).await;
    world.source.execute(&contact(2, "bea@example.com")).await;
    world.source.execute("update systemeio set first_name = 'TaLa' where contact_id = 'c1'").await;
    daemon.wait_until_caught_up(&world).await;
    let expected = "0001 ana@example.com TaLa c1, 0002 bea@example.com Tala c2";
    assert_eq!(world.target.value(profiles).await, expected);
    let swap = "update systemeio set email = case contact_id when 'c1' then 'bea@example.com' else 'ana@example.com' end";
    world.source.execute(swap).await;
    daemon.wait_until_caught_up(&world).await;
    let expected = "0001 ana@example.com Tala c2, 0002 bea@example.com TaLa c1";
    assert_eq!(world.target.value(profiles).await, expected);
    assert_equals_fresh_backfill(&world).await;
}

const HOLDERS: &str = "select string_agg(concat_ws(' ', email, systemeio_id), ', ' order by email)
    from unified_profiles";

/// The transactions of this amount are refused.
const REFUSE: &str = "alter table transactions add check (amount <> 13)";

/// P10: a quarantined person is written as soon as something else changes its answer.
#[tokio::test(flavor = "multi_thread")]
async fn a_quarantined_person_gets_a_contact_id_that_another_gives_up() {
    let rows = [
        contact(1, "a@example.com"),
        contact(2, "b@example.com").replace("'c2'", "'c1'"),
        payment(2, "b@example.com", "13"),
    ];
    let world = World::canonical(&rows.join(" ")).await;
    world.succeed(&["migrate"]).await;
    world.target.execute(REFUSE).await;
    let daemon = world.started().await;
    assert_eq!(world.target.value("select owner from tributary.quarantine").await, "b@example.com");
    assert_eq!(world.target.value(HOLDERS).await, "a@example.com c1, b@example.com");
    world.source.execute("update systemeio set contact_id = null where email like 'a@%'").await;
    daemon.wait_until_caught_up(&world).await;
    assert_eq!(world.target.value(HOLDERS).await, "a@example.com, b@example.com c1");
}

/// SPEC §4.5: a batch that is written with savepoints knows which unique values it took from whom.
#[tokio::test(flavor = "multi_thread")]
async fn a_contact_id_that_was_taken_beside_a_refused_row_comes_back() {
    let rows = [
        contact(1, "y@example.com"),
        contact(2, "x@example.com"),
        payment(1, "y@example.com", "499"),
        payment(2, "z@example.com", "499"),
    ];
    let world = World::canonical(&rows.join(" ")).await;
    world.succeed(&["migrate"]).await;
    world.target.execute(REFUSE).await;
    let daemon = world.started().await;
    let gone = "begin;
        delete from systemeio where contact_id = 'c1'; delete from xendit where customer_email like 'y@%';
        update systemeio set contact_id = 'c1' where contact_id = 'c2';
        update xendit set amount = 13 where customer_email like 'z@%'; commit";
    world.source.execute(gone).await;
    daemon.wait_until_caught_up(&world).await;
    let taken = "x@example.com c1, y@example.com, z@example.com";
    assert_eq!(world.target.value(HOLDERS).await, taken);
    let back = format!(
        "begin; update systemeio set contact_id = 'c2' where contact_id = 'c1'; {} {} commit",
        contact(1, "y@example.com"),
        payment(1, "y@example.com", "499"),
    );
    world.source.execute(&back).await;
    daemon.wait_until_caught_up(&world).await;
    let before = "x@example.com c2, y@example.com c1, z@example.com";
    assert_eq!(world.target.value(HOLDERS).await, before);
}

/// A text key may be longer than an index of ours takes.
#[tokio::test(flavor = "multi_thread")]
async fn very_long_keys_are_kept_apart() {
    let world = World::new(SourceLayout::Legacy, Places::Shared).await;
    let long = "(select string_agg(md5(n::text), '') from generate_series(1, 82) n)";
    for last in ["a", "b"] {
        let payment = format!(
            "insert into xendit (\"External ID\", \"Status\", \"Amount\", \"Currency\", \"Email\")
             values ({long} || '{last}', 'PAID', 499, 'PHP', 'p@example.com')"
        );
        world.source.execute(&payment).await;
    }
    let contact = format!(
        "insert into systemeio (\"Email\", \"Date Registered\") values ({long}, '2025-01-01')"
    );
    world.source.execute(&contact).await;
    let daemon = world.started().await;
    assert_eq!(world.target.value("select count(*) from transactions").await, "2");
    let unusable =
        "select count(*) from tributary.conflict where kind = 'unusable_email' and status = 'open'";
    assert_eq!(world.target.value(unusable).await, "1");
    world.source.execute("delete from xendit; delete from systemeio").await;
    daemon.wait_until_caught_up(&world).await;
    assert_eq!(world.target.value("select count(*) from transactions").await, "0");
    assert_eq!(world.target.value(unusable).await, "0");
}

/// SPEC §5.3: whatever refuses the delete, also a table made while the daemon runs, the row stays VOIDED.
#[tokio::test(flavor = "multi_thread")]
async fn a_delete_that_the_application_refuses_is_a_conflict() {
    let rows: Vec<String> =
        (1..=4).map(|n| payment(n, &format!("p{n}@example.com"), "499")).collect();
    let world = World::canonical(&rows.join(" ")).await;
    let daemon = world.started().await;
    world
        .target
        .execute(
            "create table receipts (id int primary key, transaction_id uuid references transactions);
             insert into receipts values (1, '00000000-0000-4000-8000-000000000001');
             create function no_delete() returns trigger language plpgsql as $$ begin
                 if old.id = '00000000-0000-4000-8000-000000000002' then raise exception 'no'; end if;
                 return old; end $$;
             create trigger no_delete before delete on transactions
                 for each row execute function no_delete();
             update enrollments set metadata = '{}'
                 where transaction_id = '00000000-0000-4000-8000-000000000003'",
        )
        .await;
    world.source.execute("delete from xendit").await;
    daemon.wait_until_caught_up(&world).await;
    let left = "select string_agg(right(id::text, 1) || ' ' || status, ', ' order by id)
        from transactions";
    assert_eq!(world.target.value(left).await, "1 VOIDED, 2 VOIDED, 3 VOIDED");
    let conflicts = "select count(*) from tributary.conflict
        where kind = 'delete_blocked' and status = 'open'";
    assert_eq!(world.target.value(conflicts).await, "3");
    world.target.execute("drop table receipts; drop trigger no_delete on transactions").await;
    let explain = || daemon.log();
    eventually("unblocked", explain, || async { world.target.value(left).await == "3 VOIDED" })
        .await;
    assert_eq!(world.target.value(conflicts).await, "1");
}

/// SPEC §5.4: metadata that are no object, or no JSON at all, are kept beside the daemon's own.
#[tokio::test(flavor = "multi_thread")]
async fn an_enrollment_keeps_what_the_application_has_in_its_metadata() {
    let json = ("json", "[1]", "managed_by tributary, value [1]");
    let text = ("text", "imported in May", "managed_by tributary, value imported in May");
    for (kind, kept, expected) in [json, ("jsonb", "null", "managed_by tributary"), text] {
        let world = World::canonical(&payment(1, "a@example.com", "499")).await;
        let table = format!("create table enrollments (id uuid primary key, metadata {kind})");
        world.target.execute(&table).await;
        let daemon = world.started().await;
        let change = format!("update enrollments set metadata = '{kept}'");
        world.target.execute(&change).await;
        world.source.execute("update xendit set paid_at = '2025-06-29T04:00:00Z'").await;
        daemon.wait_until_caught_up(&world).await;
        let metadata = "select string_agg(key || ' ' || value, ', ' order by key)
            from enrollments, jsonb_each_text(metadata::jsonb)";
        assert_eq!(world.target.value(metadata).await, expected);
        world.succeed(&["verify"]).await;
        // Nor does a plan over several processes fail for it.
        let parallel = "set min_parallel_table_scan_size = 0; set parallel_setup_cost = 0; set parallel_tuple_cost = 0;
            select count(*) from enrollments e where tributary.metadata(e.metadata) ? 'managed_by'";
        world.target.execute(parallel).await;
        let before = world.target.value(XMINS).await;
        world.succeed(&["rebuild"]).await;
        assert_eq!(world.target.value(XMINS).await, before);
        // What it is no more, it is not found to be.
        assert_eq!(daemon.terminate().await.code(), Some(0));
        world.target.execute(&change).await;
        let daemon = world.started().await;
        world.succeed(&["validate"]).await;
        assert_eq!(world.run(&["verify"]).await.status.code(), Some(3));
        world.succeed(&["rebuild"]).await;
        world.succeed(&["verify"]).await;
        world.source.execute("delete from xendit").await;
        daemon.wait_until_caught_up(&world).await;
        assert_eq!(world.target.value("select status from enrollments").await, "revoked");
    }
}

/// SPEC §4.1, §6: a person waits for its auth user, also under another address.
#[tokio::test(flavor = "multi_thread")]
async fn people_wait_for_their_auth_users() {
    let rows = format!(
        "{} {} {}",
        contact(1, "a@example.com"),
        contact(2, "b@example.com"),
        payment(1, "a@example.com", "499")
    );
    let world = World::canonical(&rows).await;
    let id = "11111111-1111-4111-8111-111111111111";
    world
        .target
        .execute(&format!(
            "create schema auth; create table auth.users (id uuid primary key, email text);
             insert into auth.users values ('{id}', 'A@Example.com');
             create table unified_profiles (id uuid primary key references auth.users,
                 email text unique not null)"
        ))
        .await;
    // A user who changed the address keeps the profile, unless its address still belongs to somebody.
    let (moved, kept) = (id.replace('1', "3"), id.replace('1', "4"));
    let users = format!(
        "insert into auth.users values ('{moved}', 'now@example.com'), ('{kept}', 'wish@example.com');
         insert into unified_profiles values ('{moved}', 'then@example.com'), ('{kept}', 'has@example.com')"
    );
    world.target.execute(&users).await;
    for (number, email) in [(3, "now"), (4, "wish"), (5, "has")] {
        world.source.execute(&contact(number, &format!("{email}@example.com"))).await;
    }
    let daemon = world.started().await;
    let profiles =
        "select string_agg(id || ' ' || email, ', ' order by email) from unified_profiles";
    let moved = format!("{kept} has@example.com, {moved} now@example.com");
    let first = format!("{id} a@example.com, {moved}");
    assert_eq!(world.target.value(profiles).await, first);
    assert_eq!(world.target.value("select user_id from transactions").await, id);
    let wish = ", missing_auth_user wish@example.com";
    let waits = format!("missing_auth_user b@example.com{wish}");
    assert_eq!(world.target.value(CONFLICTS).await, waits);
    world
        .source
        .execute("update systemeio set email = 'c@example.com' where contact_id = 'c2'")
        .await;
    daemon.wait_until_caught_up(&world).await;
    let waits = format!("missing_auth_user c@example.com{wish}");
    assert_eq!(world.target.value(CONFLICTS).await, waits);
    let other = "22222222-2222-4222-8222-222222222222";
    world
        .target
        .execute(&format!("insert into auth.users values ('{other}', 'c@example.com')"))
        .await;
    let explain = || daemon.log();
    let both = format!("{id} a@example.com, {other} c@example.com, {moved}");
    eventually("the profile", explain, || async { world.target.value(profiles).await == both })
        .await;
    let wish = wish.trim_start_matches(", ");
    assert_eq!(world.target.value(CONFLICTS).await, wish);
    // It closes with its cause, opens again with it, and once dismissed stays so.
    world.source.execute("delete from systemeio where contact_id = 'c4'").await;
    daemon.wait_until_caught_up(&world).await;
    assert_eq!(world.target.value(CONFLICTS).await, "");
    world.source.execute(&contact(4, "wish@example.com")).await;
    daemon.wait_until_caught_up(&world).await;
    assert_eq!(world.target.value(CONFLICTS).await, wish);
    let id =
        "select id from tributary.conflict where status = 'open' and kind = 'missing_auth_user'";
    let id = world.target.value(id).await;
    world.succeed(&["conflicts", "dismiss", &id, "--note", "known", "--by", "ana"]).await;
    world.succeed(&["rebuild"]).await;
    assert_eq!(daemon.terminate().await.code(), Some(0));
    world.succeed(&["backfill"]).await;
    let _daemon = world.started().await;
    let status =
        format!("select status || ' ' || resolved_by from tributary.conflict where id = {id}");
    assert_eq!(world.target.value(&status).await, "dismissed ana");
}

/// P8: statements that were made for other columns end the session and not the daemon, and a new session knows the tables as they are.
#[tokio::test(flavor = "multi_thread")]
async fn a_table_that_is_altered_under_the_stream_is_followed() {
    let payments = "insert into xendit (id, external_id, status, amount, currency, customer_email, created)
        select md5('x' || n)::uuid, 'e' || n, 'PAID', 499, 'PHP', 'p' || n || '@example.com', '2025-06-30T04:00:00Z'
        from generate_series(1, 30) n;
        insert into systemeio (id, contact_id, email, tags)
        select md5('s' || n)::uuid, 'c' || n, 'p' || n || '@example.com', 'Newsletter' from generate_series(1, 30) n";
    let world = World::canonical(payments).await;
    let daemon = world.started().await;
    let alterations = [
        "alter table transactions drop column failure_reason",
        "alter table transactions alter metadata type json using metadata::json",
        "alter table unified_profiles alter tags type jsonb using to_jsonb(tags)",
    ];
    for (number, alteration) in alterations.iter().enumerate() {
        world.target.execute(alteration).await;
        let change = format!(
            "update xendit set description = '{number}', failure_reason = '{number}', amount = 500 + {number};
             update systemeio set tags = 'VIP,T{number}', first_name = 'Ana{number}'"
        );
        world.source.execute(&change).await;
        daemon.wait_until_caught_up(&world).await;
        let written = format!(
            "select (select count(*) from transactions where amount = 500 + {number} and failure_reason = '{number}')
                || ' ' || (select count(*) from unified_profiles where first_name = 'Ana{number}')"
        );
        assert_eq!(world.target.value(&written).await, "30 30", "{alteration}");
    }
    world.succeed(&["verify"]).await;
}
