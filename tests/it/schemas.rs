//! `target.schema`: two installations in one pair of databases (SPEC §10).

use serde_json::Value;
use testkit::source_schema::SourceLayout;

use crate::support::daemon::Daemon;
use crate::support::eventually;
use crate::support::world::{Places, World, dirty};

/// Contents of the target tables of a schema, without ids that each installation gives by itself and bookkeeping.
fn contents(schema: &str) -> String {
    format!(
        "select md5(string_agg(row, E'\\n' order by row)) from (
            select 'p' || (to_jsonb(p) - '{{id,updated_at,last_api_sync_at,api_sync_version}}'::text[])::text as row
            from {schema}.unified_profiles p
            union all
            select 't' || (to_jsonb(t) - '{{user_id,last_api_sync_at,api_sync_version,processed_at}}'::text[])::text
                || coalesce(p.email, '')
            from {schema}.transactions t left join {schema}.unified_profiles p on p.id = t.user_id
            union all
            select 'e' || p.email || e.status || e.transaction_id
            from {schema}.enrollments e join {schema}.unified_profiles p on p.id = e.user_id) rows"
    )
}

async fn caught_up(world: &World, schema: &str) {
    let until = world.source.lsn().await;
    let sql = format!("select lsn >= '{until}'::pg_lsn from \"{schema}\".checkpoint");
    let reached = || async { world.target.value(&sql).await == "true" };
    eventually("a checkpoint", || format!("of {schema} at {until}"), reached).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn two_installations_work_side_by_side_in_one_pair_of_databases_spec_10() {
    let first = World::new(SourceLayout::Canonical, Places::Shared).await;
    first.load(&dirty(71, 60), 80, 120).await;
    let second = first.second_installation("Trib-2");
    assert_eq!(second.slot, "trib_2");
    let checked = second.succeed(&["check"]).await;
    assert!(checked.contains("schema Trib-2 is missing"), "{checked}");
    let (one, mut two) = (first.started().await, second.start());
    two.wait_for_phase("streaming").await;
    let shown = second.succeed(&["config", "show"]).await;
    assert!(
        shown.contains("schema = \"Trib-2\"") && shown.contains("publication = \"trib_2\""),
        "{shown}"
    );

    first.source.execute("update xendit set amount = amount + 1 where amount > 0").await;
    first
        .source
        .execute("delete from systemeio where id in (select id from systemeio order by id limit 3)")
        .await;
    first.source.execute("update systemeio set email = 'moved@example.com' where id = (select min(id::text)::uuid from systemeio)").await;
    caught_up(&first, "tributary").await;
    caught_up(&second, "Trib-2").await;
    let (left, right) = (contents("public"), contents("second"));
    assert_eq!(first.target.value(&left).await, first.target.value(&right).await);
    for (count, at_least) in [
        ("select count(*) from second.transactions", 60),
        ("select count(*) from second.unified_profiles", 20),
    ] {
        assert!(first.target.value(count).await.parse::<i64>().unwrap() >= at_least);
    }

    // What operators ask reaches their own daemon alone, and everything of it is in its schema.
    let text = second.succeed(&["rebuild"]).await;
    assert!(text.contains("recomputed"), "{text}");
    second.succeed(&["verify"]).await;
    let status = second.json(&["status", "--json"]).await;
    assert_eq!(
        (&status["slot"], &status["phase"]),
        (&"trib_2".into(), &"streaming".into()),
        "{status}"
    );
    second.succeed(&["conflicts", "list"]).await;
    second.succeed(&["decisions", "list"]).await;
    assert_eq!(first.target.value("select count(*) from tributary.command").await, "0");
    assert_eq!(first.target.value("select count(*) from \"Trib-2\".command").await, "1");
    let client = second.target.connect().await;
    let synced = client.query_one("call \"Trib-2\".sync_new_data(dry_run => false)", &[]).await;
    assert_eq!(synced.unwrap().get::<_, Value>(0)["behind_bytes"], 0);
    let phase = "select \"Trib-2\".status() ->> 'phase' || (select count(*) > 15 from \"Trib-2\".validate() where ok)";
    assert_eq!(first.target.value(phase).await, "streamingtrue");
    assert_eq!(first.target.value("select count(*) from tributary.command").await, "0");
    let locks = "select count(distinct (classid, objid)) from pg_locks where locktype = 'advisory'
                 and database = (select oid from pg_database where datname = current_database())
                 and mode = 'ExclusiveLock'";
    assert_eq!(first.target.value(locks).await, "2");

    assert_eq!(two.terminate().await.code(), Some(0));
    let status = second.json(&["status", "--json"]).await;
    assert!(status["checkpoint_lsn"].is_string(), "{status}");
    // Another installation is about to take the backup of this second.
    let names = "begin; select count(pg_advisory_xact_lock(hashtextextended('tributary_backup_'
            || to_char((now() + n * interval '1 s') at time zone 'UTC', 'YYYYMMDD_HH24MISS'), 0)))
        from generate_series(0, 90) n";
    client.batch_execute(names).await.unwrap();
    second.succeed(&["backfill"]).await;
    client.batch_execute("rollback").await.unwrap();
    let numbered = "select string_agg(right(run, 2), ' ') from \"Trib-2\".backup";
    assert_eq!(first.target.value(numbered).await, "_2");
    assert_eq!(first.target.value(&left).await, first.target.value(&right).await);
    second.succeed(&["slot", "drop"]).await;
    let slots = format!(
        "select count(*) from pg_replication_slots where slot_name in ('{}', 'trib_2')",
        first.slot
    );
    assert_eq!(first.source.value(&slots).await, "1");
    first.source.execute("update xendit set amount = amount + 1 where amount > 0").await;
    one.wait_until_caught_up(&first).await;
    assert_ne!(first.target.value(&left).await, first.target.value(&right).await);
}

/// Tables, role and publication of a tenant at the source; its role and schemas at the target.
fn tenant_at_source(tenant: &str, role: &str) -> String {
    format!(
        "create schema {tenant};
         create table {tenant}.xendit (like public.xendit including all);
         create table {tenant}.systemeio (like public.systemeio including all);
         insert into {tenant}.xendit (id, status, amount, currency, customer_email, description, created)
         select gen_random_uuid(), 'PAID', 499, 'PHP', '{tenant}' || n || '@example.com', 'P2P', '2025-06-30T04:00:00Z'
         from generate_series(1, 40) as n;
         create role {role} login replication password 'secret';
         grant usage on schema {tenant} to {role};
         grant select on all tables in schema {tenant} to {role};
         create publication trib_{tenant} for table {tenant}.xendit, {tenant}.systemeio"
    )
}

fn tenant_at_target(tenant: &str, role: &str) -> String {
    format!(
        "create schema trib_{tenant} authorization {role}; create schema crm_{tenant} authorization {role}"
    )
}

/// One installation a tenant, as docs/capacity.md lets an installation grow: schemas, slots, publications and roles of their own in
/// one pair of databases.
#[tokio::test(flavor = "multi_thread")]
async fn three_tenants_share_a_pair_of_databases_and_see_nothing_of_each_other() {
    let world = World::canonical("select 1").await;
    let mut tenants = Vec::new();
    for tenant in ["alpha", "beta", "gamma"] {
        let role = format!("{tenant}_of_{}", world.slot);
        world.source.execute(&tenant_at_source(tenant, &role)).await;
        world.target.execute(&tenant_at_target(tenant, &role)).await;
        let installation =
            world.installation(&format!("trib_{tenant}"), &format!("crm_{tenant}"), |table| {
                for feed in ["xendit", "systemeio"] {
                    table["feeds"][feed]
                        .as_table_mut()
                        .unwrap()
                        .insert("table".into(), format!("{tenant}.{feed}").into());
                }
            });
        assert_eq!(installation.slot, format!("trib_{tenant}"));
        let [source, target] =
            [&world.source, &world.target].map(|place| place.url_as(&role, "secret"));
        tenants.push((tenant, role, installation, source, target));
    }
    let mut daemons = Vec::new();
    for (tenant, _, installation, source, target) in &tenants {
        let urls = [("TRIBUTARY_SOURCE_URL", source.as_str()), ("TRIBUTARY_TARGET_URL", target)];
        let check = installation.command(&["check"]).envs(urls).output().await.unwrap();
        let said = String::from_utf8_lossy(&check.stdout);
        assert_eq!(check.status.code(), Some(0), "{tenant}\n{said}");
        daemons.push(Daemon::start_with(installation, &urls));
    }
    for daemon in &mut daemons {
        daemon.wait_for_phase("streaming").await;
    }
    world.source.execute("update beta.xendit set amount = 1000").await;
    for (tenant, ..) in &tenants {
        caught_up(&world, &format!("trib_{tenant}")).await;
        let sum =
            format!("select sum(amount)::int || ' of ' || count(*) from crm_{tenant}.transactions");
        let expected = if *tenant == "beta" { "40000 of 40" } else { "19960 of 40" };
        assert_eq!(world.target.value(&sum).await, expected, "{tenant}");
        let theirs = format!(
            "select count(*) from crm_{tenant}.unified_profiles where email not like '{tenant}%'"
        );
        assert_eq!(world.target.value(&theirs).await, "0", "{tenant}");
    }
    // What each may not.
    for (tenant, role, ..) in &tenants {
        let other = "nspname like 'trib\\_%' or nspname like 'crm\\_%' or nspname in ('alpha', 'beta', 'gamma')";
        let open = format!(
            "select count(*) from pg_namespace where ({other}) and nspname not like '%{tenant}' \
             and has_schema_privilege('{role}', oid, 'usage')"
        );
        assert_eq!(world.target.value(&open).await, "0", "{tenant}");
        assert_eq!(world.source.value(&open).await, "0", "{tenant}");
    }
    // One is retired; the others go on.
    assert_eq!(daemons.remove(0).terminate().await.code(), Some(0));
    tenants[0].2.succeed(&["slot", "drop"]).await;
    world.source.execute("update gamma.xendit set amount = 2").await;
    caught_up(&world, "trib_gamma").await;
    let sum = "select sum(amount)::int from crm_gamma.transactions";
    assert_eq!(world.target.value(sum).await, "80");
    let slots = "select count(*) from pg_replication_slots where slot_name like 'trib\\_%' and database = current_database()";
    assert_eq!(world.source.value(slots).await, "2");
}
