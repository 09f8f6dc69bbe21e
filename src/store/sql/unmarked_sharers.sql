-- $1, $2: values that several rows share; $3: most rows of all. The range of one value and the order leave no other
-- index, so that the planner takes this one whatever it knows of the table.
-- $4: bytes of values; those that come after so many of others are left out.
select o.feed, o.key, o.owner, o.email_key, o.shared_id, o.member, o.digest, o.outcome, o.chunk, o.generation,
    o.complete,
    case when coalesce(sum(octet_length(o.raw)) over (rows between unbounded preceding and 1 preceding), 0) < $4 then o.raw end
from unnest($1::int2[], $2::text[]) as v (feed, shared_id)
cross join lateral (
    select r.*
    from tributary.source_row r
    where r.feed = v.feed and r.shared_id >= v.shared_id and r.shared_id <= v.shared_id
        and r.shared_id is not null
        and r.member is null
    order by r.feed, r.shared_id
    limit $3
) o
limit $3
