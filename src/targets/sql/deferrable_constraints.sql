-- Deferrable constraints and constraint triggers of the target tables, and foreign keys of other tables that
-- reference them. The names of one schema need not be unique, which `set constraints` takes for all of them.
select string_agg(distinct format('%I.%I', n.nspname, c.conname), ', ')
from pg_constraint c
join pg_namespace n on n.oid = c.connamespace
where c.condeferrable
    and (c.conrelid = any($1::text[]::regclass[]) or c.confrelid = any($1::text[]::regclass[]))
