select v.feed, v.shared_id
from unnest($1::int2[], $2::text[]) as v (feed, shared_id)
where (
    select count(*)
    from (
        select from tributary.source_row r
        where r.feed = v.feed and r.shared_id >= v.shared_id and r.shared_id <= v.shared_id
            and r.shared_id is not null
        order by r.feed, r.shared_id
        limit 2
    ) two
) > 1
