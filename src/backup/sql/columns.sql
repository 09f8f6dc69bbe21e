-- A table by its quoted name: its columns, their types, what may be written of them, whether policies hide rows of it from
-- this role, whether this role may alter it, and its size.
select c.oid::bigint as oid,
    array(select a.attname::text from pg_attribute a
        where a.attrelid = c.oid and a.attnum > 0 and not a.attisdropped order by a.attnum) as columns,
    array(select a.attname::text from pg_attribute a
        where a.attrelid = c.oid and a.attnum > 0 and not a.attisdropped and a.attgenerated <> '' order by a.attnum)
        as generated,
    array(select a.attname::text from pg_attribute a
        where a.attrelid = c.oid and a.attnum > 0 and not a.attisdropped and a.attidentity = 'a' order by a.attnum)
        as always,
    coalesce(row_security_active(c.oid), false) as hides,
    pg_has_role(c.relowner, 'usage') as owns,
    (coalesce((select sum(pg_table_size(t.relid)) from pg_partition_tree(c.oid) t), 0)
        + case when c.relkind = 'p' then 0 else pg_table_size(c.oid) end)::bigint as bytes
from pg_class c
where c.oid = to_regclass($1)
