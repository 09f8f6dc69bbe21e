-- Tables that reference transactions by a foreign key, but for enrollments.transaction_id, which is ours.
select c.conrelid::regclass::text, quote_ident(a.attname)
from pg_constraint c
join pg_attribute a on a.attrelid = c.conrelid and a.attnum = c.conkey[1]
where c.contype = 'f'
    and c.confrelid = to_regclass($1)
    and array_length(c.conkey, 1) = 1
    and not (c.conrelid = to_regclass($2) and a.attname = 'transaction_id')
