-- What there is of a table ($1: its schema, $2: its name), and what this role may do about the rest: whether it may make the table,
-- whether it may alter it, its columns, the columns that lead an index of all rows, and whether it is no table but a view, a
-- materialised view or a foreign table.
select
    coalesce(has_schema_privilege(n.oid, 'usage'), true) as may_use,
    coalesce(has_schema_privilege(n.oid, 'create'), has_database_privilege(current_database(), 'create')) as may_make,
    c.oid is not null as is_there,
    coalesce(pg_has_role(c.relowner, 'usage'), true) as owns,
    array(
        select a.attname::text from pg_attribute a
        where a.attrelid = c.oid and a.attnum > 0 and not a.attisdropped) as columns,
    array(
        select a.attname::text
        from pg_index i
        join pg_attribute a on a.attrelid = i.indrelid and a.attnum = i.indkey[0]
        where i.indrelid = c.oid and i.indpred is null and i.indisvalid) as indexed,
    coalesce(c.relkind not in ('r', 'p'), false) as is_view,
    current_user::text as role
from (values (1)) one
left join pg_namespace n on n.nspname = $1
left join pg_class c on c.relnamespace = n.oid and c.relname = $2 and c.relkind in ('r', 'p', 'v', 'm', 'f')
