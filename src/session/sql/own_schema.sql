-- What the role may do in the target, and in schema tributary where that is there: whether it owns the tables, and which of them it
-- may not read and write.
select
    pg_is_in_recovery() as standby,
    current_user::text as role,
    current_database()::text as database,
    has_database_privilege(current_database(), 'create') as may_create,
    has_database_privilege(current_database(), 'temporary') as may_make_temporary,
    to_regnamespace('tributary') is not null as has_schema,
    coalesce(has_schema_privilege(to_regnamespace('tributary'), 'usage'), true) as may_use,
    coalesce(has_schema_privilege(to_regnamespace('tributary'), 'create'), true) as may_migrate,
    exists (
        select from pg_class c
        where c.relnamespace = to_regnamespace('tributary') and c.relname = 'state') as migrated,
    coalesce((
        select bool_and(pg_has_role(c.relowner, 'usage'))
        from pg_class c
        where c.relnamespace = to_regnamespace('tributary') and c.relkind in ('r', 'p')), true) as owns,
    array(
        select c.relname::text
        from pg_class c
        where c.relnamespace = to_regnamespace('tributary')
            and case
                when c.relkind in ('r', 'p') then not (has_table_privilege(c.oid, 'select')
                    and has_table_privilege(c.oid, 'insert')
                    and has_table_privilege(c.oid, 'update')
                    and has_table_privilege(c.oid, 'delete'))
                when c.relkind = 'S' then not has_sequence_privilege(c.oid, 'usage')
                else false
            end
        order by c.relname) as closed
