-- Whether a unique, valid, immediate index over NOT NULL columns covers the key: whole, and of columns of the key alone.
-- And the columns of the key that may be NULL.
select exists (
        select
        from pg_index i
        where i.indrelid = c.oid and i.indisunique and i.indisvalid and i.indimmediate
            and i.indpred is null and i.indexprs is null
            and not exists (
                select
                from unnest(i.indkey[0 : i.indnkeyatts - 1]) k (attnum)
                join pg_attribute a on a.attrelid = c.oid and a.attnum = k.attnum
                where not a.attnotnull or not a.attname = any($3::text[]))),
    array(
        select a.attname::text
        from unnest($3::text[]) with ordinality as k (name, nth)
        join pg_attribute a on a.attrelid = c.oid and a.attname = k.name
        where not a.attnotnull and not a.attisdropped
        order by k.nth)
from pg_class c
join pg_namespace n on n.oid = c.relnamespace
where n.nspname = $1 and c.relname = $2
