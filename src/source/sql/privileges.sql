-- Whether the role may use the schema; the first of the columns that it may not read; whether
-- row-level security hides rows from it; its name.
select has_schema_privilege(n.oid, 'usage'),
       (select min(needed.name)
          from unnest($3::text[]) needed (name)
         where not has_column_privilege(c.oid, needed.name, 'select')),
       row_security_active(c.oid),
       current_user::text
  from pg_class c
  join pg_namespace n on n.oid = c.relnamespace
 where n.nspname = $1
   and c.relname = $2
