-- The adopted transactions of all rows of some owners, and of some rows. Each is one look-up, whatever the statistics.
select r.feed, r.key, a.id
from tributary.source_row r
cross join lateral (
    select a.id from tributary.adopted_transaction a where a.feed = r.feed and a.key = r.key limit 1
) a
where r.owner = any($1)
union all
select n.feed, n.key, a.id
from unnest($2::int2[], $3::text[]) as n (feed, key)
cross join lateral (
    select a.id from tributary.adopted_transaction a where a.feed = n.feed and a.key = n.key limit 1
) a
