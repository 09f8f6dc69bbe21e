-- Tables that two schemas have: the name, the columns that both have, the identity column. $1: a schema, $2: the one that is
-- copied from; $3: tables that are not meant.
select c.relname::text,
    array_agg(a.attname::text order by a.attnum) filter (where a.attgenerated = ''),
    max(a.attname::text) filter (where a.attidentity <> '')
from pg_class c
join pg_namespace n on n.oid = c.relnamespace
join pg_namespace of on of.nspname = $2
join pg_class o on o.relnamespace = of.oid and o.relname = c.relname and o.relkind = 'r'
join pg_attribute a on a.attrelid = c.oid and a.attnum > 0 and not a.attisdropped
where n.nspname = $1 and c.relkind = 'r' and c.relname <> all ($3::text[])
    and exists (
        select from pg_attribute b
        where b.attrelid = o.oid and b.attname = a.attname and b.attnum > 0 and not b.attisdropped)
group by c.relname
order by c.relname
