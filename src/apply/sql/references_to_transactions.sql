-- Tables that reference transactions by a foreign key. Managed enrollments have moved on by the time a
-- transaction is deleted; one that the application made by itself counts as any other reference.
select c.conrelid::regclass::text, quote_ident(a.attname)
from pg_constraint c
join pg_attribute a on a.attrelid = c.conrelid and a.attnum = c.conkey[1]
where c.contype = 'f'
    and c.confrelid = to_regclass($1)
    and array_length(c.conkey, 1) = 1
