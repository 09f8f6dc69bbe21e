-- The unique indexes of a table: name, whether it is the primary key, the columns (NULL for an expression), each
-- expression, the condition of a partial one.
select c.relname::text,
    i.indisprimary,
    array(select a.attname::text from generate_series(1, i.indnkeyatts) k
        left join pg_attribute a on a.attrelid = i.indrelid and a.attnum = i.indkey[k - 1] and a.attnum > 0
        order by k),
    array(select pg_get_indexdef(i.indexrelid, k, true) from generate_series(1, i.indnkeyatts) k order by k),
    pg_get_expr(i.indpred, i.indrelid)
from pg_index i
join pg_class c on c.oid = i.indexrelid
where i.indrelid = to_regclass($1) and i.indisunique and i.indisvalid
order by not i.indisprimary, c.relname
