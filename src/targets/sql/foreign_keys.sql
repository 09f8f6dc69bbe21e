-- Foreign keys that reference a table ($1, by its names), but those of the tables $2, with the columns of both sides in one
-- order, what becomes of the rows that refer to a row that is deleted, and whether the role sees all rows that refer.
select c.conrelid::regclass::text, c.conname::text, c.confdeltype::text, k.own, k.referenced,
    coalesce(k.may_read and not row_security_active(c.conrelid)
        and has_schema_privilege((select r.relnamespace from pg_class r where r.oid = c.conrelid), 'USAGE'), false)
from pg_constraint c
cross join lateral (
    select array_agg(quote_ident(a.attname)) as own, array_agg(quote_ident(b.attname)) as referenced,
        bool_and(has_column_privilege(c.conrelid, k.own, 'SELECT')) as may_read
    from unnest(c.conkey, c.confkey) as k (own, referenced)
    join pg_attribute a on a.attrelid = c.conrelid and a.attnum = k.own
    join pg_attribute b on b.attrelid = c.confrelid and b.attnum = k.referenced
) k
where c.contype = 'f' and c.conparentid = 0
    and c.confrelid in (select to_regclass(t) from unnest($1::text[]) as t)
    and not exists (select from unnest($2::text[]) as t where to_regclass(t) = c.conrelid)
order by 1, 2
