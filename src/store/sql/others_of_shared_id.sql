-- $6: bytes of values; those that come after so many of others are left out.
-- $1, $2: the values; $3, $4: stored rows to leave out; $5: most rows of a value. The range of one value and the order
-- leave no other index, so that the planner takes this one whatever it knows of the table.
with changed as materialized (
    select r.feed, r.shared_id, array_agg(r.key) as keys
    from unnest($3::int2[], $4::text[]) as c (feed, key)
    join tributary.source_row r on r.feed = c.feed and r.key = c.key
    where r.shared_id is not null
    group by r.feed, r.shared_id
),
v as materialized (
    select v.feed, v.shared_id, coalesce(c.keys, '{}') as keys
    from unnest($1::int2[], $2::text[]) as v (feed, shared_id)
    left join changed c on c.feed = v.feed and c.shared_id = v.shared_id
)
select o.feed, o.key, o.owner, o.email_key, o.shared_id, o.member, o.digest, o.outcome, o.chunk, o.generation,
    o.complete,
    case when coalesce(sum(octet_length(o.raw)) over (rows between unbounded preceding and 1 preceding), 0) < $6 then o.raw end
from v
cross join lateral (
    select r.*
    from tributary.source_row r
    where r.feed = v.feed and r.shared_id >= v.shared_id and r.shared_id <= v.shared_id
        and r.shared_id is not null
        and r.key <> all (v.keys)
    order by r.feed, r.shared_id
    limit $5
) o
