-- The replica identity of a table and of each of its partitions, with the columns of its index, and whether
-- its changes are in the log at all.
with root as (
    select c.oid, c.relkind
      from pg_class c
      join pg_namespace n on n.oid = c.relnamespace
     where n.nspname = $1
       and c.relname = $2
       and c.relkind in ('r', 'p')
), part as (
    select root.oid from root
    union
    select p.relid::oid from root, pg_partition_tree(root.oid) p where root.relkind = 'p'
)
select n.nspname::text,
       c.relname::text,
       c.relreplident::text,
       array(select a.attname::text
               from pg_index i
               join pg_attribute a on a.attrelid = c.oid
                                  and a.attnum = any (i.indkey[0 : i.indnkeyatts - 1])
              where i.indrelid = c.oid
                and i.indisvalid
                and case c.relreplident
                        when 'd' then i.indisprimary
                        when 'i' then i.indisreplident
                    end),
       c.relpersistence = 'p'
  from part
  join pg_class c on c.oid = part.oid
  join pg_namespace n on n.oid = c.relnamespace
 order by part.oid = (select oid from root) desc, 1, 2
