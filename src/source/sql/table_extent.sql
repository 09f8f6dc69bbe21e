-- A marker of the files that hold a table, and the blocks of its largest part. A plain table is its own
-- only part; its marker is its filenode, that of a partitioned table a hash over its partitions'.
with root as (
    select c.oid, c.relkind
      from pg_class c
      join pg_namespace n on n.oid = c.relnamespace
     where n.nspname = $1
       and c.relname = $2
       and c.relkind in ('r', 'p')
), part as (
    select root.oid from root where root.relkind = 'r'
    union all
    select p.relid from root, pg_partition_tree(root.oid) p where root.relkind = 'p' and p.isleaf
)
select case root.relkind
           when 'r' then pg_relation_filenode(root.oid)::bigint
           else coalesce((select hashtextextended(
                                     string_agg(part.oid || ':' || pg_relation_filenode(part.oid),
                                                ',' order by part.oid), 0)
                            from part), 0)
       end,
       coalesce((select max(pg_relation_size(part.oid, 'main'))
                            / current_setting('block_size')::bigint
                   from part), 0)
  from root
