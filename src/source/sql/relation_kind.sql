-- The kind of a relation, whether plain tables inherit from it, whether a foreign table is a partition.
select c.relkind::text,
       exists (select from pg_inherits i where i.inhparent = c.oid),
       c.relkind = 'p' and exists (
           select
             from pg_partition_tree(c.oid) p
             join pg_class leaf on leaf.oid = p.relid
            where leaf.relkind = 'f')
  from pg_class c
  join pg_namespace n on n.oid = c.relnamespace
 where n.nspname = $1
   and c.relname = $2
