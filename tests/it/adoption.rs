//! Transactions that the application had before become those of payments (SPEC §5.2).

use crate::check::points;
use crate::support::world::World;

/// An application's transactions, with a column of its own. Of payment 2 it has two, of payment 3 one of another provider.
const TARGETS: &str = "
    create table transactions (id uuid primary key, amount numeric not null, payment_provider text,
        payment_provider_id varchar(80), created_at timestamptz default now(), note text);
    create table receipts (id int primary key, transaction_id uuid references transactions);
    insert into transactions (id, amount, payment_provider, payment_provider_id, created_at, note) values
        (md5('t1')::uuid, 1, 'Xendit', 'pi_1', '2025-02-01Z', 'one'),
        (md5('t2')::uuid, 1, 'xendit', 'pi_2', '2025-02-02Z', 'younger'),
        (md5('t2-elder')::uuid, 1, null, 'pi_2', '2025-02-01Z', 'nobody''s'),
        (md5('t3')::uuid, 1, 'stripe', 'pi_3', '2025-02-01Z', 'of another'),
        (md5('test')::uuid, 1, 'xendit', 'pi_test', '2025-02-01Z', 'test')";

fn payment(number: u32, payment_id: &str, status: &str) -> String {
    format!(
        "insert into xendit (id, payment_id, external_id, status, amount, currency, customer_email, description, created)
         values (md5('x{number}')::uuid, '{payment_id}', 'o-{payment_id}', '{status}', 499, 'PHP',
             'p{payment_id}@example.com', 'Papers to Profits', to_char(now() - interval '9 days', 'YYYY-MM-DD'));"
    )
}

/// The notes of the application by payment and amount, and which transaction each enrollment shows.
const NOTES: &str = "select string_agg(concat_ws(' ', t.payment_provider_id, t.note, t.amount, t.status, e.status), ', '
        order by t.payment_provider_id, t.note)
    from transactions t left join enrollments e on e.transaction_id = t.id where t.note <> 'test'";

const OPEN: &str =
    "select string_agg(kind || ' ' || subject, ', ' order by subject) from tributary.conflict
    where status = 'open' and kind in ('duplicate_transaction', 'delete_blocked')";

#[tokio::test(flavor = "multi_thread")]
async fn transactions_of_the_application_are_adopted_by_their_provider_id_spec_5_2() {
    let rows: String = (1..=4).map(|n| payment(n, &format!("pi_{n}"), "PAID")).collect();
    let world = World::canonical(&rows).await;
    world.target.execute(TARGETS).await;
    let before =
        world.target.value("select string_agg(t::text, ' ' order by id) from transactions t").await;

    let shown = world.json(&["backfill", "--dry-run", "--json"]).await;
    let of = |what: &str| shown["tables"]["transactions"][what].clone();
    assert_eq!(
        (of("insert"), of("update")["total"].clone(), of("unsupported")),
        (2.into(), 2.into(), 3.into()),
        "{shown:#}"
    );
    assert_eq!(shown["conflicts"]["duplicate_transaction"], 1, "{shown:#}");
    let done = world.json(&["backfill", "--json"]).await;
    for key in ["tables", "conflicts"] {
        assert_eq!(shown[key], done[key], "{key}");
    }
    let adopted = "pi_1 one 499 PAID active, pi_2 nobody's 1, pi_2 younger 499 PAID active, pi_3 of another 1";
    assert_eq!(world.target.value(NOTES).await, adopted);
    let twice = format!(
        "duplicate_transaction xendit:{}",
        world.source.value("select md5('x2')::uuid").await
    );
    assert_eq!(world.target.value(OPEN).await, twice);
    let index = "select count(*) from pg_indexes where indexdef like '%transactions%(payment_provider_id)%'";
    assert_eq!(world.target.value(index).await, "1");

    // What comes by the stream, and a payment whose row is another one now: the transaction is the same.
    let daemon = world.started().await;
    let made = "insert into transactions (id, amount, payment_provider, payment_provider_id, note)
        values (md5('t5')::uuid, 1, 'xendit', 'pi_5', 'five')";
    world.target.execute(made).await;
    world.source.execute(&payment(5, "pi_5", "PENDING")).await;
    world.source.execute(&payment(6, "pi_1", "SETTLED")).await;
    world.source.execute("update xendit set amount = 500 where payment_id = 'pi_2'").await;
    daemon.wait_until_caught_up(&world).await;
    let streamed = "pi_1 one 499 SETTLED active, pi_2 nobody's 1, pi_2 younger 500 PAID active, \
        pi_3 of another 1, pi_5 five 499 PENDING";
    assert_eq!(world.target.value(NOTES).await, streamed);
    world.source.execute("delete from xendit where id = md5('x6')::uuid").await;
    daemon.wait_until_caught_up(&world).await;
    assert_eq!(world.target.value(NOTES).await, streamed.replace("SETTLED", "PAID"));
    let payments = "select count(*) from transactions where metadata is not null";
    assert_eq!(world.target.value(payments).await, "5");

    // One that the application refers to stays, whoever made it; one that nothing refers to goes.
    world.target.execute("insert into receipts values (1, md5('t5')::uuid)").await;
    world.source.execute("delete from xendit where payment_id in ('pi_5', 'pi_1')").await;
    daemon.wait_until_caught_up(&world).await;
    let left =
        "pi_2 nobody's 1, pi_2 younger 500 PAID active, pi_3 of another 1, pi_5 five 499 VOIDED";
    assert_eq!(world.target.value(NOTES).await, left);
    assert_eq!(world.target.value("select count(*) from tributary.adopted_transaction").await, "2");
    let verified = world.run(&["verify"]).await;
    assert_eq!(verified.status.code(), Some(0), "{}", String::from_utf8_lossy(&verified.stdout));
    let explained = world.succeed(&["explain", "ppi_2@example.com", "--json"]).await;
    let id = world.target.value("select md5('t2')::uuid").await;
    assert_eq!(explained.matches(&id).count(), 2, "{explained}");
    world.source.execute(&payment(5, "pi_5", "PAID")).await;
    daemon.wait_until_caught_up(&world).await;
    assert_eq!(world.target.value(NOTES).await, left.replace("VOIDED", "PAID active"));
    assert_eq!(world.target.value(OPEN).await, twice);
    assert_eq!(daemon.terminate().await.code(), Some(0));

    // What is left over goes, and the way back brings all of it.
    let run = world.target.value("select run from tributary.backup order by at limit 1").await;
    world.target.execute("delete from receipts").await;
    world.succeed(&["backfill", "--replace"]).await;
    let replaced = "pi_2 younger 500 PAID active, pi_5 five 499 PAID active";
    assert_eq!(world.target.value(NOTES).await, replaced);
    assert_eq!(world.target.value(OPEN).await, "");
    let refused = world.run(&["rollback", &run]).await;
    let answer = String::from_utf8_lossy(&refused.stdout).into_owned();
    assert!(answer.contains("rows that it inserted in 1 rows"), "{answer}");
    world.succeed(&["rollback", &run, "--discard-application-changes"]).await;
    let columns = "select string_agg((t.id, t.amount, t.payment_provider, t.payment_provider_id, t.created_at, t.note)::text,
        ' ' order by id) from transactions t";
    assert_eq!(world.target.value(columns).await, before);
    world.succeed(&["backfill"]).await;
    assert_eq!(world.target.value(NOTES).await.matches("active").count(), 1);
    assert_eq!(
        world.target.value("select count(*) from transactions where id = md5('t5')::uuid").await,
        "1"
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn tables_without_keys_are_adopted_and_views_are_refused_spec_2() {
    let rows = payment(1, "pi_1", "PAID") + &payment(2, "pi_2", "PAID");
    let world = World::canonical(&format!(
        "{rows} update xendit set amount = 5.255 where payment_id = 'pi_2'"
    ))
    .await;
    let view =
        "create table people (id uuid, email text); create view unified_profiles as table people";
    world.target.execute(view).await;
    let (code, failed) = points(&world, None).await;
    assert_eq!(code, Some(3));
    let expected = "target.unified_profiles.columns: public.unified_profiles is a view";
    assert!(failed.iter().any(|point| point.starts_with(expected)), "{failed:?}");
    let refused = world.run(&["backfill"]).await;
    let said = String::from_utf8_lossy(&refused.stderr).into_owned();
    assert_eq!(refused.status.code(), Some(1));
    assert!(said.contains("is a view") && said.contains("remedy: name a table"), "{said}");

    let tables = "drop view unified_profiles; alter table people rename to unified_profiles;
        create table transactions (id uuid, user_id uuid, amount money)";
    world.target.execute(tables).await;
    assert_eq!(points(&world, None).await, (Some(0), vec![]));
    world.succeed(&["backfill"]).await;
    // What is looked up by its id has an index, and what cannot be referenced is not.
    let indexes = "select string_agg(tablename, ' ' order by tablename) from pg_indexes
        where indexdef like '%(id)' and schemaname = 'public' and tablename in ('unified_profiles', 'transactions')";
    assert_eq!(world.target.value(indexes).await, "transactions unified_profiles");
    let references = "select string_agg(confrelid::regclass::text, ' ') from pg_constraint
        where contype = 'f' and conrelid = 'enrollments'::regclass";
    assert_eq!(world.target.value(references).await, "courses");
    // Money is never rounded (§3.8).
    let amounts = "select string_agg(amount::numeric::text, ' ') from transactions";
    assert_eq!(world.target.value(amounts).await, "499.00");
    let rejected =
        "select evidence ->> 'reason' from tributary.conflict where kind = 'rejected_row'";
    assert_eq!(world.target.value(rejected).await, "the column amount keeps fewer digits");
    world.succeed(&["verify"]).await;
}

/// An enum that lacks words of SPEC §5.4, and dates as text: what day it is can be asked all the same, and nothing is revoked that is not
/// to be.
#[tokio::test(flavor = "multi_thread")]
async fn enrollments_of_other_types_are_judged_by_the_day_p10() {
    let world = World::canonical(
        "insert into systemeio (id, email, first_name) select gen_random_uuid(), 'p' || n || '@example.com', 'Ana'
             from generate_series(1, 3) n;
         insert into xendit (id, status, amount, currency, customer_email, description, created)
         select gen_random_uuid(), 'PAID', 499, 'PHP', 'p' || n || '@example.com', 'Papers to Profits', now()
         from generate_series(1, 2) n",
    )
    .await;
    world
        .target
        .execute(
            "create type standing as enum ('active', 'paused');
             create table enrollments (id uuid primary key, user_id uuid not null, course_id uuid not null,
                 transaction_id uuid, status standing, start_date text, expiry_date text, metadata jsonb)",
        )
        .await;
    let daemon = world.started().await;
    let active = "select count(*) from enrollments where status = 'active'";
    assert_eq!(world.target.value(active).await, "2");
    world.source.execute("update systemeio set first_name = 'Bea'").await;
    daemon.wait_until_caught_up(&world).await;
    let named = "select count(*) from unified_profiles where first_name = 'Bea'";
    assert_eq!(world.target.value(named).await, "3", "{}", daemon.log());
    let refused =
        "select count(*) from tributary.conflict where kind = 'rejected_row' and status = 'open'";
    assert_eq!(world.target.value(refused).await, "0");
    assert_eq!(daemon.terminate().await.code(), Some(0));
    let _daemon = world.started().await;
}
