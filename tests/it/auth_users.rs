//! Users of Supabase (SPEC §4.1): found however their address is spelled, made where that is configured, and gone again after a
//! rollback.

use crate::support::eventually;
use crate::support::world::{World, set};

/// The tables as the auth service's migrations leave them, as far as they matter here.
const AUTH: &str = "
    create schema auth;
    create table auth.users (instance_id uuid, id uuid not null primary key, aud varchar(255), role varchar(255),
        email varchar(255), encrypted_password varchar(255), email_confirmed_at timestamptz, invited_at timestamptz,
        confirmation_token varchar(255), confirmation_sent_at timestamptz, recovery_token varchar(255),
        recovery_sent_at timestamptz, email_change_token_new varchar(255), email_change varchar(255),
        email_change_sent_at timestamptz, last_sign_in_at timestamptz, raw_app_meta_data jsonb, raw_user_meta_data jsonb,
        is_super_admin boolean, created_at timestamptz, updated_at timestamptz, phone text default null unique,
        phone_confirmed_at timestamptz, phone_change text default '', phone_change_token varchar(255) default '',
        phone_change_sent_at timestamptz,
        confirmed_at timestamptz generated always as (least(email_confirmed_at, phone_confirmed_at)) stored,
        email_change_token_current varchar(255) default '', email_change_confirm_status smallint default 0,
        banned_until timestamptz, reauthentication_token varchar(255) default '', reauthentication_sent_at timestamptz,
        is_sso_user boolean not null default false, deleted_at timestamptz, is_anonymous boolean not null default false);
    create unique index users_email_partial_key on auth.users (email) where is_sso_user = false;
    create unique index confirmation_token_idx on auth.users (confirmation_token) where confirmation_token !~ '^[0-9 ]*$';
    create table auth.identities (provider_id text not null, user_id uuid not null references auth.users on delete cascade,
        identity_data jsonb not null, provider text not null, last_sign_in_at timestamptz, created_at timestamptz,
        updated_at timestamptz, email text generated always as (lower(identity_data ->> 'email')) stored,
        id uuid not null default gen_random_uuid() primary key, unique (provider_id, provider));
    create table unified_profiles (id uuid primary key references auth.users on delete cascade, email text unique not null,
        made_by text)";

/// As many projects have it.
const TRIGGER: &str = "
    create function handle_new_user() returns trigger language plpgsql security definer as
        $$ begin insert into public.unified_profiles (id, email, made_by) values (new.id, new.email, 'trigger'); return new; end $$;
    create trigger on_auth_user_created after insert on auth.users for each row execute function handle_new_user()";

const ROWS: &str = "
    insert into systemeio (id, contact_id, email, first_name)
    select md5('s' || n)::uuid, 'c' || n, 'p' || n || '@example.com', 'Ana' from generate_series(1, 5) as n;
    insert into systemeio (id, contact_id, email) values (md5('m')::uuid, 'm', 'mia@bücher.example.com');
    insert into xendit (id, status, amount, currency, customer_email, description, created)
    values (md5('x')::uuid, 'PAID', 499, 'PHP', 'p2@example.com', 'Papers to Profits', '2025-06-30T04:00:00Z')";

#[tokio::test(flavor = "multi_thread")]
async fn users_are_found_by_their_email_key_and_made_where_there_is_none_spec_4_1() {
    let world = World::canonical(ROWS).await;
    world.target.execute(AUTH).await;
    let id = |digit: &str| "11111111-1111-4111-8111-111111111111".replace('1', digit);
    // Spelled as its key is not: an ASCII domain, full-width letters, spaces.
    let user = |id: &str, email: &str| {
        format!(
            "insert into auth.users (id, email, email_confirmed_at, aud) values ('{id}', '{email}', now(), 'authenticated')"
        )
    };
    world.target.execute(&user(&id("1"), "Mia@XN--BCHER-KVA.example.com")).await;
    world.target.execute(&user(&id("2"), " Ｐ1@example.com ")).await;
    let people = "select string_agg(o.email_key || ' ' || o.state, ', ' order by o.email_key) from tributary.person o";
    let daemon = world.started().await;
    assert_eq!(
        world.target.value(people).await,
        "mia@xn--bcher-kva.example.com present, p1@example.com present, p2@example.com waiting, \
         p3@example.com waiting, p4@example.com waiting, p5@example.com waiting"
    );
    let linked = "select string_agg(id::text, ' ' order by id) from unified_profiles where first_name = 'Ana' or email like 'mia%'";
    assert_eq!(world.target.value(linked).await, format!("{} {}", id("1"), id("2")));
    // Once the user is there, the person comes in, in whatever spelling.
    world.target.execute(&user(&id("3"), "Ｐ3@example.com")).await;
    let third = "select first_name from unified_profiles where email = 'p3@example.com'";
    let came = || async { world.target.value(third).await == "Ana" };
    eventually("the person comes in by itself", || daemon.log(), came).await;
    assert_eq!(daemon.terminate().await.code(), Some(0));

    // What is missing is named before anything is made.
    world.configure(|table| set(table, "target", "auth_users", "create"));
    world.target.execute("alter table auth.users rename recovery_token to recovery").await;
    let failed = world.run(&["check"]).await;
    let said = String::from_utf8_lossy(&failed.stdout).into_owned();
    assert_eq!(failed.status.code(), Some(3), "{said}");
    assert!(said.contains("column auth.users.recovery_token"), "{said}");
    world.target.execute("alter table auth.users rename recovery to recovery_token").await;
    world.target.execute(TRIGGER).await;
    world.succeed(&["check"]).await;

    // A dry run makes nobody; the real run makes those who are missing, in the form that a log-in needs.
    let users = "select count(*) from auth.users";
    let shown = world.json(&["backfill", "--dry-run", "--json"]).await;
    assert_eq!(shown["tables"]["profiles"]["insert"], 3, "{shown:#}");
    assert_eq!(world.target.value(users).await, "3");
    let done = world.json(&["backfill", "--json"]).await;
    assert_eq!(
        (&done["tables"], &done["conflicts"]),
        (&shown["tables"], &shown["conflicts"]),
        "{done:#}"
    );
    let made = "select string_agg(concat_ws('|', u.email, u.instance_id, u.aud, u.role, u.encrypted_password = '',
            u.email_confirmed_at is not null, u.confirmation_token = '' and u.recovery_token = '' and u.email_change = ''
                and u.email_change_token_new = '' and u.email_change_token_current = '' and u.phone_change = ''
                and u.phone_change_token = '' and u.reauthentication_token = '',
            u.raw_app_meta_data ->> 'provider', u.is_sso_user, i.provider, i.provider_id = u.id::text, i.email = u.email,
            i.identity_data ->> 'sub' = u.id::text, p.first_name, p.made_by), E'\\n' order by u.email)
        from auth.users u join auth.identities i on i.user_id = u.id join unified_profiles p on p.id = u.id";
    let one = |n: u32| {
        format!(
            "p{n}@example.com|00000000-0000-0000-0000-000000000000|authenticated|authenticated|t|t|t|email|f|email|t|t|t|Ana|trigger"
        )
    };
    assert_eq!(world.target.value(made).await, [one(2), one(4), one(5)].join("\n"));
    assert_eq!(
        world
            .target
            .value(
                "select count(*) from tributary.conflict where status = 'open'
                and kind in ('missing_auth_user', 'rejected_row', 'duplicate_profile')"
            )
            .await,
        "0"
    );
    let buyer = "select count(*) from transactions t join auth.users u on u.id = t.user_id where u.email = 'p2@example.com'";
    assert_eq!(world.target.value(buyer).await, "1");

    // By the stream, too; whoever is known to the service is not made twice.
    let daemon = world.started().await;
    world.source.execute("insert into systemeio (id, contact_id, email, first_name) values
        (md5('n')::uuid, 'n', 'new@example.com', 'Ana'), (md5('k')::uuid, 'k', 'known@example.com', 'Ana')").await;
    daemon.wait_until_caught_up(&world).await;
    assert_eq!(world.target.value(users).await, "8");
    world.succeed(&["verify"]).await;
    // The way back takes those that nobody has logged in as.
    world
        .target
        .execute("update auth.users set last_sign_in_at = now() where email = 'new@example.com'")
        .await;
    let run =
        world.json(&["backups", "list", "--json"]).await[0]["run"].as_str().unwrap().to_owned();
    let said = world.succeed(&["rollback", &run, "--discard-application-changes"]).await;
    assert!(said.contains("4 users that were made in auth.users are gone again"), "{said}");
    let left = "select string_agg(email, ' ' order by email) from unified_profiles";
    assert_eq!(
        world.target.value(left).await,
        "mia@xn--bcher-kva.example.com p1@example.com p3@example.com"
    );
}

/// A user who is deleted takes the profile along: the person waits for a new one, as one that never had a user.
#[tokio::test(flavor = "multi_thread")]
async fn a_person_whose_user_was_deleted_waits_for_another_spec_4_1() {
    let world = World::canonical(
        "insert into systemeio (id, contact_id, email, first_name) values (md5('s')::uuid, 'c1', 'ana@example.com', 'Ana')",
    )
    .await;
    world.target.execute(AUTH).await;
    let user =
        |id: &str| format!("insert into auth.users (id, email) values ('{id}', 'ana@example.com')");
    let (first, second) =
        ("11111111-1111-4111-8111-111111111111", "22222222-2222-4222-8222-222222222222");
    world.target.execute(&user(first)).await;
    let daemon = world.started().await;
    let profile = "select id || ' ' || first_name from unified_profiles";
    assert_eq!(world.target.value(profile).await, format!("{first} Ana"));
    world.target.execute("delete from auth.users").await;
    world.source.execute("update systemeio set first_name = 'Bea'").await;
    daemon.wait_until_caught_up(&world).await;
    let open =
        "select string_agg(kind, ' ' order by kind) from tributary.conflict where status = 'open'
        and kind in ('missing_auth_user', 'rejected_row', 'duplicate_profile')";
    assert_eq!(world.target.value(open).await, "missing_auth_user");
    world.target.execute(&user(second)).await;
    let came = || async { world.target.value(profile).await == format!("{second} Bea") };
    eventually("the person comes in by itself", || daemon.log(), came).await;
    assert_eq!(world.target.value(open).await, "");
}
