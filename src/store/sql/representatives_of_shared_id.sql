-- $6: bytes of values; those that come after so many of others are left out.
-- $1, $2: the values; $3, $4: stored rows to leave out; $5: most distinct sides. Skip scans: as many index probes as sides
-- shown, however many rows share a value.
with recursive changed as materialized (
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
),
by_member as (
    select v.feed, v.shared_id, v.keys, f.member, f.key, 1 as n
    from v
    cross join lateral (
        select r.member, r.key from tributary.source_row r
        where r.feed = v.feed and r.shared_id = v.shared_id and r.member is not null
            and r.key <> all (v.keys)
        order by r.feed, r.shared_id, r.member, r.key limit 1
    ) f
    union all
    select s.feed, s.shared_id, s.keys, f.member, f.key, s.n + 1
    from by_member s
    cross join lateral (
        select r.member, r.key from tributary.source_row r
        where r.feed = s.feed and r.shared_id = s.shared_id and r.member > s.member
            and r.key <> all (s.keys)
        order by r.feed, r.shared_id, r.member, r.key limit 1
    ) f
    where s.n < $5::int8
),
by_owner as (
    select v.feed, v.shared_id, v.keys, f.owner, f.key, 1 as n
    from v
    cross join lateral (
        select r.owner, r.key from tributary.source_row r
        where r.feed = v.feed and r.shared_id = v.shared_id and r.member is not null
            and r.key <> all (v.keys)
        order by r.feed, r.shared_id, r.owner, r.key limit 1
    ) f
    union all
    select s.feed, s.shared_id, s.keys, f.owner, f.key, s.n + 1
    from by_owner s
    cross join lateral (
        select r.owner, r.key from tributary.source_row r
        where r.feed = s.feed and r.shared_id = s.shared_id and r.member is not null and r.owner > s.owner
            and r.key <> all (s.keys)
        order by r.feed, r.shared_id, r.owner, r.key limit 1
    ) f
    where s.n < $5::int8
),
last_owner as (
    select v.feed, v.shared_id, f.key
    from v
    cross join lateral (
        select r.owner from tributary.source_row r
        where r.feed = v.feed and r.shared_id = v.shared_id and r.member is not null
            and r.key <> all (v.keys)
        order by r.feed desc, r.shared_id desc, r.owner desc, r.key desc limit 1
    ) l
    cross join lateral (
        select r.key from tributary.source_row r
        where r.feed = v.feed and r.shared_id = v.shared_id and r.member is not null and r.owner = l.owner
            and r.key <> all (v.keys)
        order by r.feed, r.shared_id, r.owner, r.key limit 1
    ) f
),
picked as (
    select feed, key from by_member
    union
    select feed, key from by_owner
    union
    select feed, key from last_owner
)
select r.feed, r.key, r.owner, r.email_key, r.shared_id, r.member, r.digest, r.outcome, r.chunk, r.generation,
    r.complete,
    case when coalesce(sum(octet_length(r.raw)) over (rows between unbounded preceding and 1 preceding), 0) < $6 then r.raw end
from picked p
-- Many more are expected than there are: for as many, all rows would be read.
cross join lateral (
    select * from tributary.source_row s
    where s.feed = p.feed and s.key = p.key
    offset 0
) r
