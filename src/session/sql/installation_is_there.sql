-- Whether there is a table of the installation, and the role may read it.
select exists (
    select from pg_class c
    join pg_namespace n on n.oid = c.relnamespace
    where n.nspname = 'tributary' and c.relname = 'installation'
        and has_schema_privilege(n.oid, 'usage') and has_table_privilege(c.oid, 'select'))
