-- Tables that reference transactions by a foreign key, and whether it is enrollments.transaction_id: of the
-- managed ones that is ours.
select c.conrelid::regclass::text, quote_ident(a.attname),
    coalesce(c.conrelid = to_regclass($2) and a.attname = 'transaction_id', false)
from pg_constraint c
join pg_attribute a on a.attrelid = c.conrelid and a.attnum = c.conkey[1]
where c.contype = 'f'
    and c.confrelid = to_regclass($1)
    and array_length(c.conkey, 1) = 1
