-- Tables that could be feeds, each with the columns of its primary key, else of a unique index over NOT NULL columns; an
-- empty list where there is neither.
select n.nspname::text,
       c.relname::text,
       coalesce(k.names, '{}')
  from pg_class c
  join pg_namespace n on n.oid = c.relnamespace
  left join lateral (
        select array_agg(a.attname::text order by array_position(i.indkey::int2[], a.attnum)) as names
          from pg_index i
          join pg_attribute a on a.attrelid = c.oid and a.attnum = any (i.indkey[0 : i.indnkeyatts - 1])
         where i.indrelid = c.oid
           and i.indisunique
           and i.indisvalid
           and i.indimmediate
           and i.indpred is null
           and i.indexprs is null
         group by i.indexrelid, i.indisprimary
        having bool_and(a.attnotnull)
         order by i.indisprimary desc, count(*), i.indexrelid
         limit 1) k on true
 where c.relkind in ('r', 'p')
   and c.relpersistence <> 't'
   and not c.relispartition
   and n.nspname !~ '^pg_'
   and n.nspname not in ('information_schema', 'tributary')
 order by 1, 2
