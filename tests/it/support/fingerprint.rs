//! Everything that a database holds, to prove that nothing of it was touched.

use std::collections::BTreeMap;

use super::world::Place;

/// Objects by name. Rows come with their places and transactions, so that one that was rewritten as it was shows too. What is
/// temporary is left out.
const CATALOGS: &str = "
    select 'schema ' || nspname, nspacl::text from pg_namespace n where {lasting}
    union all
    select 'relation ' || n.nspname || '.' || relname,
        concat_ws(' ', relkind, relfilenode, relacl, reloptions,
            (select string_agg(concat_ws(':', attname, atttypid::regtype, attnotnull, attisdropped), ',' order by attnum)
             from pg_attribute a where a.attrelid = c.oid and attnum > 0))
    from pg_class c join pg_namespace n on n.oid = c.relnamespace where {lasting}
    union all
    select 'constraint ' || n.nspname || '.' || conname || c.oid, pg_get_constraintdef(c.oid)
    from pg_constraint c join pg_namespace n on n.oid = c.connamespace where {lasting}
    union all
    select 'function ' || n.nspname || '.' || p.oid, prosrc
    from pg_proc p join pg_namespace n on n.oid = p.pronamespace where {lasting} and n.nspname <> 'pg_catalog'
    union all
    select 'publication ' || pubname, (select string_agg(t.tablename, ',' order by t.tablename)
        from pg_publication_tables t where t.pubname = p.pubname) from pg_publication p
    union all
    select 'slot ' || slot_name, confirmed_flush_lsn::text from pg_replication_slots where database = current_database()
    union all
    select 'sequence ' || schemaname || '.' || sequencename, last_value::text from pg_sequences n
    where schemaname !~ '^pg_(toast_)?temp_'";

pub(crate) async fn fingerprint(place: &Place) -> BTreeMap<String, String> {
    let client = place.connect().await;
    let lasting =
        "n.nspname !~ '^pg_(toast_)?temp_' and n.nspname not in ('pg_toast', 'information_schema')
                   and n.nspname <> 'pg_catalog'";
    let catalogs = CATALOGS.replace("{lasting}", lasting);
    let mut found: BTreeMap<String, String> = client
        .query(&catalogs, &[])
        .await
        .unwrap()
        .iter()
        .map(|row| (row.get(0), row.get::<_, Option<String>>(1).unwrap_or_default()))
        .collect();
    let tables = format!(
        "select format('%I.%I', n.nspname, c.relname) from pg_class c
         join pg_namespace n on n.oid = c.relnamespace where c.relkind = 'r' and {lasting}"
    );
    for row in client.query(&tables, &[]).await.unwrap() {
        let table: String = row.get(0);
        let sql = format!(
            "select coalesce(md5(string_agg(concat_ws(' ', t.ctid, t.xmin, t::text), E'\\n' order by t.ctid)), '')
             from {table} t"
        );
        let rows = client.query_one(&sql, &[]).await.unwrap().get(0);
        found.insert(format!("rows of {table}"), rows);
    }
    found
}

/// Panics with what is another in two fingerprints.
pub(crate) fn assert_same(before: &BTreeMap<String, String>, after: &BTreeMap<String, String>) {
    let names = before.keys().chain(after.keys());
    let differing: Vec<&String> =
        names.filter(|name| before.get(*name) != after.get(*name)).collect();
    assert!(differing.is_empty(), "touched: {differing:?}");
}
