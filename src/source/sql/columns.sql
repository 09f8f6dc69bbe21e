-- Columns with the name of their type, a domain (also over a domain) resolved to its base type, whether they are
-- generated, and the kind and category of the type.
with recursive col as (
    select a.attname, a.attnum, a.attgenerated <> '' as generated, a.atttypid as type
      from pg_attribute a
      join pg_class c on c.oid = a.attrelid
      join pg_namespace n on n.oid = c.relnamespace
     where n.nspname = $1
       and c.relname = $2
       and a.attnum > 0
       and not a.attisdropped
    union all
    select col.attname, col.attnum, col.generated, t.typbasetype
      from col
      join pg_type t on t.oid = col.type
     where t.typtype = 'd'
)
select col.attname::text, t.typname::text, col.generated, t.typtype::text, t.typcategory::text
  from col
  join pg_type t on t.oid = col.type
 where t.typtype <> 'd'
 order by col.attnum
