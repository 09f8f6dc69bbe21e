-- The foreign keys between the tables $1, by their quoted names: the place of the table that refers and of the one that is
-- referenced, the columns of both sides in one order, and whether all columns of the one that refers may be NULL.
select o.at::int - 1, r.at::int - 1, k.own, k.referenced, k.nullable
from pg_constraint c
join unnest($1::text[]) with ordinality o (name, at) on to_regclass(o.name) = c.conrelid
join unnest($1::text[]) with ordinality r (name, at) on to_regclass(r.name) = c.confrelid
cross join lateral (
    select array_agg(a.attname::text order by k.o) as own, array_agg(b.attname::text order by k.o) as referenced,
        bool_and(not a.attnotnull) as nullable
    from unnest(c.conkey, c.confkey) with ordinality as k (own, referenced, o)
    join pg_attribute a on a.attrelid = c.conrelid and a.attnum = k.own
    join pg_attribute b on b.attrelid = c.confrelid and b.attnum = k.referenced
) k
where c.contype = 'f' and c.conparentid = 0
order by 1, 2, c.conname
