-- Tables that reference profiles by a foreign key, with the condition that joins their rows r to profiles t. $1: profiles.
select c.conrelid::regclass::text,
    (
        select string_agg(format('r.%I = t.%I', a.attname, b.attname), ' and ')
        from unnest(c.conkey, c.confkey) as k (own, other)
        join pg_attribute a on a.attrelid = c.conrelid and a.attnum = k.own
        join pg_attribute b on b.attrelid = c.confrelid and b.attnum = k.other
    )
from pg_constraint c
where c.contype = 'f' and c.confrelid = to_regclass($1) and c.conparentid = 0
