-- Entries, newest first. One without an outcome is under way while a session holds its lock.
with held as materialized (
    select l.objid::bigint as id
    from pg_locks l
    where l.locktype = 'advisory' and l.granted and l.objsubid = 2
        and l.classid = hashtext('tributary.operation_log')::oid
        and l.database = (select oid from pg_database where datname = current_database())
),
entry as (
    select o.*, coalesce(o.outcome,
        case when exists (select from held where held.id = o.id) then 'running' else 'interrupted' end) as shown
    from tributary.operation_log o
    where (cardinality($1::text[]) = 0 or o.operation = any($1))
        and ($2::timestamptz is null or o.started_at >= $2)
        and ($3::bigint is null or o.id = $3)
        and ($6::timestamptz is null or o.started_at < $6)
        and ($8::bigint is null or o.id < $8)
        and ($7::text is null or strpos(lower(concat_ws(' ', o.operation, o.os_user, o.database_user, o.asked_by,
            array_to_string(o.errors, ' '), o.detail::text)), lower($7)) > 0)
)
select id, operation, started_at, finished_at, shown, os_user, database_user, asked_by, version, config_hash,
    processed, succeeded, failed, errors, detail,
    extract(epoch from coalesce(finished_at, case when shown = 'running' then clock_timestamp() end)
        - started_at)::float8 as seconds
from entry
where cardinality($4::text[]) = 0 or shown = any($4)
order by id desc
limit $5
