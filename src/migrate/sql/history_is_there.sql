-- Whether the record of the migrations is there, and the role may read it.
select exists (
    select from pg_class c
    join pg_namespace n on n.oid = c.relnamespace
    where n.nspname = 'tributary' and c.relname = 'schema_history'
        and has_schema_privilege(n.oid, 'usage') and has_table_privilege(c.oid, 'select'))
