-- Whether auth.users exists and may be read, and whether the profile id must be one of its ids.
select
    coalesce(has_table_privilege(to_regclass('auth.users'), 'select'), false),
    exists (
        select
        from pg_constraint c
        join pg_attribute a on a.attrelid = c.conrelid and a.attnum = c.conkey[1]
        where c.contype = 'f'
            and c.conrelid = to_regclass($1)
            and c.confrelid = to_regclass('auth.users')
            and array_length(c.conkey, 1) = 1
            and a.attname = 'id'
    )
