-- $1, $2, $3: rows that got key $2 instead of $3: what is known of the row goes on under its new key. Keys may be swapped:
-- all are read before any is changed.
update tributary_open_row o
set old_email = m.email, is_carried = m.is_carried,
    -- The row that leaves a key is the one that it was given last.
    is_rekeyed = o.is_rekeyed or m.is_left and not o.is_carried,
    lost = o.lost + (o.is_carried and not m.is_left)::int
from (
    select n.feed, n.key, max(n.email collate "C") as email, bool_or(n.is_left) as is_left,
        bool_or(n.is_carried) as is_carried
    from (
        select n.feed, n.key, b.old_email as email, false as is_left,
            b.is_carried or b.owner_before is not null and not b.is_rekeyed as is_carried
        from unnest($1::int2[], $2::text[], $3::text[]) as n (feed, key, previous)
        join tributary_open_row b on b.feed = n.feed and b.key = n.previous
        union all
        select n.feed, n.previous, null, true, false
        from unnest($1::int2[], $2::text[], $3::text[]) as n (feed, key, previous)
    ) n
    group by n.feed, n.key
) m
where o.feed = m.feed and o.key = m.key
