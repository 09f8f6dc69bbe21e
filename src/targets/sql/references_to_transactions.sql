-- Tables that reference transactions by a foreign key, with the condition that joins their rows r to transactions t.
-- Managed enrollments have moved on by the time a transaction is deleted; one that the application made by itself
-- counts as any other reference. $1: transactions, and what they are copies of; $2: tables that copies stand for.
select c.conrelid::regclass::text,
    (
        select string_agg(format('r.%I = t.%I', a.attname, b.attname), ' and ')
        from unnest(c.conkey, c.confkey) as k (own, other)
        join pg_attribute a on a.attrelid = c.conrelid and a.attnum = k.own
        join pg_attribute b on b.attrelid = c.confrelid and b.attnum = k.other
    )
from pg_constraint c
where c.contype = 'f' and c.conparentid = 0
    and c.confrelid in (select to_regclass(t) from unnest($1::text[]) as t)
    and not exists (select from unnest($2::text[]) as t where to_regclass(t) = c.conrelid)
