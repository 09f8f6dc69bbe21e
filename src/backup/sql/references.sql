-- Foreign keys of other tables to a target table ($1), with what becomes of their rows r when a row t of it is deleted.
select c.conrelid::regclass::text as table,
    c.confdeltype::text as on_delete,
    (
        select string_agg(format('r.%I = t.%I', a.attname, b.attname), ' and ')
        from unnest(c.conkey, c.confkey) as k (own, other)
        join pg_attribute a on a.attrelid = c.conrelid and a.attnum = k.own
        join pg_attribute b on b.attrelid = c.confrelid and b.attnum = k.other
    ) as condition
from pg_constraint c
where c.contype = 'f' and c.confrelid = to_regclass($1) and c.conparentid = 0
    and c.conrelid <> all (select to_regclass(name)::oid from unnest($2::text[]) as name)
order by 1
