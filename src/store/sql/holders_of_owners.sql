-- For each shared contact_id that rows of these owners carry: the person whose contact is first over all (SPEC 4.4).
select v.feed, v.shared_id, f.owner
from (
    select distinct m.feed, m.shared_id
    -- By owner and no other way: with the condition on member the planner may walk the index of everybody who shares.
    from (
        select r.feed, r.shared_id, r.member from tributary.source_row r
        where r.owner = any($1)
        offset 0
    ) m
    join tributary.feed f on f.number = m.feed and f.kind = 'contact'
    where m.member is not null
) v
cross join lateral (
    select r.owner
    from tributary.source_row r
    where r.feed = v.feed and r.shared_id = v.shared_id and r.member is not null
    order by r.feed, r.shared_id, r.member, r.key
    limit 1
) f
