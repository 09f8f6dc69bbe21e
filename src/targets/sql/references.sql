-- Foreign keys of other tables that reference a table ($1, by its names): the table, the constraint, and the condition that joins
-- its rows `other` to the rows `r` that they reference. $2: tables that are no others.
select c.conrelid::regclass::text, c.conname::text,
    (
        select string_agg(format('other.%I = r.%I', a.attname, b.attname), ' and ')
        from unnest(c.conkey, c.confkey) as k (own, referenced)
        join pg_attribute a on a.attrelid = c.conrelid and a.attnum = k.own
        join pg_attribute b on b.attrelid = c.confrelid and b.attnum = k.referenced
    )
from pg_constraint c
where c.contype = 'f' and c.conparentid = 0
    and c.confrelid in (select to_regclass(t) from unnest($1::text[]) as t)
    and not exists (select from unnest($2::text[]) as t where to_regclass(t) = c.conrelid)
order by 1, 2
