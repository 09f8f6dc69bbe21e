-- The foreign keys of a table: their columns, the table that they reference as `schema.name`, and its columns.
select
    array(select a.attname::text from unnest(c.conkey) with ordinality k (n, o)
        join pg_attribute a on a.attrelid = c.conrelid and a.attnum = k.n order by k.o),
    n.nspname || '.' || r.relname,
    array(select a.attname::text from unnest(c.confkey) with ordinality k (n, o)
        join pg_attribute a on a.attrelid = c.confrelid and a.attnum = k.n order by k.o)
from pg_constraint c
join pg_class r on r.oid = c.confrelid
join pg_namespace n on n.oid = r.relnamespace
where c.contype = 'f' and c.conrelid = to_regclass($1)
order by c.conname
