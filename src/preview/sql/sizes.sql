-- Bytes of the daemon's own tables, without those that serve a measurement alone, and of the target tables ($1).
select
    (select coalesce(sum(pg_total_relation_size(c.oid)), 0)::bigint
     from pg_class c
     where c.relnamespace = to_regnamespace('tributary') and c.relkind = 'r' and c.relname !~ '^tributary_'),
    (select coalesce(sum(pg_total_relation_size(to_regclass(t))), 0)::bigint from unnest($1::text[]) as t)
