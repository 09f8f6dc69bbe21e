-- The share of the histogram of keys that the cursor has passed, of the rows as last counted.
select (greatest(c.reltuples, 0)
        * coalesce(width_bucket(b.next_owner collate "C", h.bounds)::float8 / array_length(h.bounds, 1), 0))::bigint,
    greatest(c.reltuples, 0)::bigint
from tributary.backfill b
join pg_class c on c.oid = 'tributary.person'::regclass
left join lateral (
    select s.histogram_bounds::text::text[] as bounds
    from pg_stats s
    join pg_namespace n on n.oid = c.relnamespace and n.nspname = s.schemaname
    where s.tablename = c.relname and s.attname = 'email_key') h on true
