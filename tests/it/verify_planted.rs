//! `tributary verify` over a dirty population under traffic: every planted difference is found, and nothing else.

use std::collections::BTreeSet;
use std::time::{Duration, Instant};

use serde_json::Value;
use testkit::people::Population;
use testkit::source_schema::SourceLayout;

use crate::support::setting;
use crate::support::world::{Places, Traffic, World, dirty};

/// First number of the rows of the people whom the traffic never touches.
const QUIET: u64 = 900_000_000;

/// Faults in the target: which table each is in, and the statement, which returns what differs then. `{quiet}` are
/// the owners that it may choose from, no owner twice.
const FAULTS: &[(&[&str], &str, &str)] = &[
    (
        &["source_rows"],
        "true",
        "delete from tributary.source_row r using tributary.feed f
         where (r.feed, r.key) in (select feed, key from picked) and f.number = r.feed
         returning f.name || ':' || r.key",
    ),
    (
        &["source_rows"],
        "true",
        "update tributary.source_row r set raw = overlay(raw placing '\\x7e'::bytea from length(raw) - 3 for 1)
         from tributary.feed f where (r.feed, r.key) in (select feed, key from picked) and f.number = r.feed
         returning f.name || ':' || r.key",
    ),
    (
        &["source_rows"],
        "true",
        "insert into tributary.source_row (feed, key, owner, digest, generation, raw)
         select feed, gen_random_uuid(), owner, digest, generation, raw from picked
         returning (select name from tributary.feed where number = feed) || ':' || key",
    ),
    (
        &["source_rows"],
        "true",
        "update tributary.source_row r set owner = 'row moved ' || r.key from tributary.feed f
         where (r.feed, r.key) in (select feed, key from picked) and f.number = r.feed
         returning f.name || ':' || r.key",
    ),
    (
        &["source_rows", "transactions"],
        "position('Papers'::bytea in r.raw) > 0 and exists (select from transactions t where t.id::text = r.key)",
        "with stored as (
           update tributary.source_row r
           set raw = decode(replace(encode(raw, 'hex'), encode('Papers', 'hex'), encode('Rapers', 'hex')), 'hex')
           from tributary.feed f where (r.feed, r.key) in (select feed, key from picked) and f.number = r.feed
           returning f.name || ':' || r.key as name, r.key),
         changed as (
           update transactions t set description = replace(description, 'Papers', 'Rapers')
           from stored s where t.id = s.key::uuid returning t.id::text as name)
         select name from stored union all select name from changed",
    ),
    (
        &["transactions"],
        "exists (select from transactions t where t.id::text = r.key) and not exists (select from enrollments e where e.transaction_id::text = r.key)",
        "delete from transactions t where t.id::text in (select key from picked) returning t.id::text",
    ),
    (
        &["transactions"],
        "exists (select from transactions t where t.id::text = r.key)",
        "update transactions set amount = amount + 1 where id::text in (select key from picked) returning id::text",
    ),
    (
        &["profiles"],
        "exists (select from tributary.person n where n.email_key = p.owner and n.state = 'present')",
        "update unified_profiles set first_name = 'Planted' where id in (
           select p.profile_id from tributary.person p join picked on owner = email_key) returning id::text",
    ),
    (
        &["profiles"],
        "exists (select from tributary.person n where n.email_key = p.owner and n.state = 'present')",
        "delete from tributary.person where email_key in (select owner from picked) returning profile_id::text",
    ),
    (
        &["enrollments"],
        "exists (select from tributary.person n join enrollments e on e.user_id = n.profile_id where n.email_key = p.owner and e.transaction_id is not null)",
        "update enrollments set cohort_month = 'planted' where user_id in (
           select p.profile_id from tributary.person p join picked on owner = email_key)
           and transaction_id is not null returning id::text",
    ),
    (
        &["enrollments"],
        "exists (select from tributary.person n join enrollments e on e.user_id = n.profile_id where n.email_key = p.owner and e.transaction_id is not null)",
        "delete from enrollments where user_id in (
           select p.profile_id from tributary.person p join picked on owner = email_key)
           and transaction_id is not null returning id::text",
    ),
    (
        &["conflicts"],
        "exists (select from tributary.conflict c where c.scope = 'owner:' || p.owner and c.status = 'open')",
        "delete from tributary.conflict where scope in (select 'owner:' || owner from picked)
           and status = 'open' returning fingerprint::text",
    ),
    (
        &["conflicts"],
        "exists (select from tributary.conflict c where c.scope = 'owner:' || p.owner and c.status = 'open')",
        "update tributary.conflict set evidence_digest = gen_random_uuid(),
           severity = case severity when 'info' then 'review' else 'info' end
         where scope in (select 'owner:' || owner from picked) and status = 'open' returning fingerprint::text",
    ),
];

/// Owners of rows that the traffic does not touch, each with the kind of fault that may be planted in it and one of
/// its rows.
const PICKED: &str = "
    create schema planted;
    create table planted.busy (owner text collate \"C\" primary key);
    create table planted.picked as
      select r.owner, min(r.feed) as feed, min(r.key) as key, null::int as fault
      from tributary.source_row r
      group by r.owner having false";

async fn pick(world: &World, busy: &Population, quiet: &Population, rows: u64, faults: u64) {
    let client = world.target.connect().await;
    client.batch_execute(PICKED).await.unwrap();
    let addresses: Vec<String> = (0..busy.people).map(|person| busy.address(person)).collect();
    let sql = "insert into planted.busy select distinct unnest($1::text[])";
    client.execute(sql, &[&addresses]).await.unwrap();
    let numbers = QUIET..QUIET + rows;
    let keys: Vec<String> = numbers
        .flat_map(|number| [quiet.contact(number).id, quiet.payment(number).id])
        .map(|id| id.to_string())
        .collect();
    // A row that shares its id with others, or an address that others may be mistaken for, is touched with them.
    let sql = "insert into planted.picked
               select owner, (array_agg(feed order by md5(key)))[1], (array_agg(key order by md5(key)))[1],
                 row_number() over (order by md5(owner)) % $2
               from tributary.source_row r group by owner
               having bool_and(key = any($1) and member is null and owner not like 'dirt.%'
                 and not exists (select from planted.busy b where b.owner = r.owner))";
    client.execute("set enable_nestloop = off", &[]).await.unwrap();
    let count = client.execute(sql, &[&keys, &(FAULTS.len() as i64)]).await.unwrap();
    assert!(count > faults * FAULTS.len() as u64, "{count} owners are left alone");
}

/// What differs after all faults were planted, as table and name.
async fn plant(world: &World, faults: u64) -> BTreeSet<(String, String)> {
    let client = world.target.connect().await;
    let mut planted = BTreeSet::new();
    for (index, (tables, which, sql)) in FAULTS.iter().enumerate() {
        let sql = sql.trim_start();
        let body =
            sql.strip_prefix("with ").map_or_else(|| sql.to_owned(), |rest| format!(", {rest}"));
        let picked = format!(
            "with picked as (select p.*, r.digest, r.generation, r.raw from planted.picked p
               join tributary.source_row r on r.feed = p.feed and r.key = p.key where fault = {index} and {which}
               order by md5(p.key) limit {faults}) {body}"
        );
        let rows =
            client.query(&picked, &[]).await.unwrap_or_else(|error| panic!("{sql}: {error:?}"));
        assert!(!rows.is_empty(), "nothing planted by {sql}");
        for row in &rows {
            let name: String = row.get(0);
            let table = if name.contains(':') { tables[0] } else { tables[tables.len() - 1] };
            planted.insert((table.to_owned(), name));
        }
    }
    planted
}

/// `PLANTED_ROWS` contacts and as many payments, half of them under traffic; `PLANTED_FAULTS` of each kind.
#[tokio::test(flavor = "multi_thread")]
async fn planted_differences_of_a_dirty_population_are_found_and_nothing_else() {
    let rows = setting("PLANTED_ROWS", 1_600) / 2;
    let faults = setting("PLANTED_FAULTS", 2);
    let seed = setting("PLANTED_SEED", 31);
    let pause = Duration::from_millis(setting("PLANTED_PAUSE", 20));
    let world = World::new(SourceLayout::Canonical, Places::Shared).await;
    let (busy, quiet) = (dirty(seed, rows / 2), dirty(seed + 1, rows / 2));
    world.load(&busy, rows, rows).await;
    let client = world.source.connect().await;
    let numbers = QUIET..QUIET + rows;
    testkit::load::load(&client, world.layout, &quiet, numbers.clone(), numbers).await.unwrap();
    // However many rows there are.
    world.succeed(&["backfill"]).await;
    let daemon = world.started().await;
    pick(&world, &busy, &quiet, rows, faults).await;
    let traffic = Traffic::start(&world, &busy, (rows, rows), pause);
    traffic.goes_on(&world, 200_000).await;
    let planted = plant(&world, faults).await;
    let started = Instant::now();
    let output = world.run(&["verify", "--json", "--examples", "1000000", "--show-values"]).await;
    let took = started.elapsed();
    let errors = String::from_utf8_lossy(&output.stderr);
    let report: Value =
        serde_json::from_slice(&output.stdout).unwrap_or_else(|_| panic!("{errors}"));
    let name = |example: &Value| {
        let table = example["table"].as_str().unwrap();
        let id = &example[if table == "source_rows" { "source_row" } else { "id" }];
        (table.to_owned(), id.as_str().unwrap_or_default().to_owned())
    };
    let examples = report["examples"].as_array().unwrap();
    let extra: Vec<&Value> = examples.iter().filter(|e| !planted.contains(&name(e))).collect();
    let found: BTreeSet<(String, String)> = examples.iter().map(name).collect();
    let missed: Vec<_> = planted.difference(&found).collect();
    println!(
        "{} planted, found {}, {took:?}, {}, traffic: {}",
        planted.len(),
        report["differences"],
        report["checked"],
        traffic.end().await
    );
    assert!(
        missed.is_empty() && extra.is_empty(),
        "missed {} of {}: {missed:?}\n{} more than planted: {extra:#?}",
        missed.len(),
        planted.len(),
        extra.len()
    );
    assert_eq!(report["differences"], planted.len() as u64);
    drop(daemon);
}
