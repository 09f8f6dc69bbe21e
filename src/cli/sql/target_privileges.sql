-- What the role may do in the target: make a schema, whether schema tributary is there, and what
-- it may do in that.
select has_database_privilege(current_database(), 'create'),
    exists (
        select from pg_class c
        where c.relnamespace = to_regnamespace('tributary') and c.relname = 'state'),
    pg_is_in_recovery(),
    coalesce(has_schema_privilege(to_regnamespace('tributary'), 'usage'), true),
    coalesce(has_schema_privilege(to_regnamespace('tributary'), 'create'), true),
    to_regnamespace('tributary') is not null,
    current_user::text
