-- Making a publication takes CREATE on the database and ownership of every table.
select has_database_privilege(current_database(), 'create')
       and bool_and(pg_has_role(c.relowner, 'usage'))
  from unnest($1::text[], $2::text[]) wanted (schema, name)
  join pg_namespace n on n.nspname = wanted.schema
  join pg_class c on c.relnamespace = n.oid and c.relname = wanted.name
