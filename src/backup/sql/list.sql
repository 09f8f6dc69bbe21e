-- Backups that were not dropped, newest first.
select b.run, b.at, b.reason, b.schema_name, b.tables, b.generation,
    exists (select from pg_namespace n where n.nspname = b.schema_name) as present,
    b.import
from tributary.backup b
where b.dropped_at is null and ($1::text is null or b.run = $1)
order by b.at desc, b.run desc
