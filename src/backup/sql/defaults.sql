-- Columns of a table with their default, where that is a constant: what a row has that nobody wrote.
select a.attname::text, pg_get_expr(d.adbin, d.adrelid)
from pg_attribute a
left join pg_attrdef d on d.adrelid = a.attrelid and d.adnum = a.attnum
where a.attrelid = to_regclass($1) and a.attnum > 0 and not a.attisdropped and a.attgenerated = '' and a.attidentity = ''
    and (d.oid is null or pg_get_expr(d.adbin, d.adrelid) !~ '\(')
