-- $1, $2: the values; $3, $4: rows to leave out; $5: most rows of a value.
with changed as materialized (
    select * from unnest($3::int2[], $4::text[]) as c (feed, key)
)
select o.feed, o.key, o.owner, o.email_key, o.shared_id, o.member, o.digest, o.outcome, o.chunk, o.generation,
    o.complete, o.raw
from unnest($1::int2[], $2::text[]) as v (feed, shared_id)
cross join lateral (
    select r.*
    from tributary.source_row r
    where r.feed = v.feed and r.shared_id = v.shared_id
        and not exists (select from changed c where c.feed = r.feed and c.key = r.key)
    order by r.feed, r.shared_id
    limit $5
) o
