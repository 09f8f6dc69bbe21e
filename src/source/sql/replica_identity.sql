-- The replica identity of a table and of each of its partitions, with the columns of its index, and whether
-- its changes are in the log at all. $3: the configured key; whether a unique index that is checked at once and takes no
-- NULL covers it.
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
                -- One that is checked at the commit is no replica identity.
                and i.indimmediate
                and case c.relreplident
                        when 'd' then i.indisprimary
                        when 'i' then i.indisreplident
                    end),
       c.relpersistence = 'p',
       exists (select
                 from pg_index i
                cross join lateral (
                      select array_agg(a.attname::text) as names, bool_and(a.attnotnull) as not_null
                        from unnest(i.indkey[0 : i.indnkeyatts - 1]) k (attnum)
                        join pg_attribute a on a.attrelid = c.oid and a.attnum = k.attnum) columns
                where i.indrelid = c.oid
                  and i.indisunique
                  and i.indisvalid
                  and i.indimmediate
                  and i.indpred is null
                  and i.indexprs is null
                  and columns.not_null
                  -- Of a partitioned table it holds the partition key too.
                  and (columns.names <@ $3
                       or columns.names @> $3 and (c.relkind = 'p' or c.relispartition))),
       exists (select from pg_index i where i.indrelid = c.oid and i.indisprimary)
  from part
  join pg_class c on c.oid = part.oid
  join pg_namespace n on n.oid = c.relnamespace
 order by part.oid = (select oid from root) desc, 1, 2
