-- With whom each of these contact_ids stays as the rows are stored: the first row that is marked as sharing it, else the only one
-- that carries it. The ranges leave no other index.
select distinct f.owner
from unnest($1::int2[], $2::text[]) as v (feed, shared_id)
cross join lateral (
    (
        select r.owner
        from tributary.source_row r
        where r.feed = v.feed and r.shared_id = v.shared_id and r.member is not null
        order by r.feed, r.shared_id, r.member, r.key
        limit 1
    )
    union all
    (
        select r.owner
        from tributary.source_row r
        where r.feed = v.feed and r.shared_id >= v.shared_id and r.shared_id <= v.shared_id and r.shared_id is not null
        order by r.feed, r.shared_id
        limit 1
    )
    limit 1
) f
