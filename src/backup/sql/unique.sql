-- The unique indexes of a table by its quoted name: their expressions, and the condition of a partial one.
select array(select pg_get_indexdef(i.indexrelid, k, true) from generate_series(1, i.indnkeyatts) k order by k),
    pg_get_expr(i.indpred, i.indrelid)
from pg_index i
where i.indrelid = to_regclass($1) and i.indisunique and i.indisvalid
order by i.indexrelid
