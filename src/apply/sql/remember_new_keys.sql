-- $1, $2, $3: rows that got key $2 instead of $3: what is known of the row goes on under its new key.
with moved as (
    update tributary_open_row o
    set old_email = null, is_rekeyed = true
    from unnest($1::int2[], $2::text[], $3::text[]) as n (feed, key, previous)
    where o.feed = n.feed and o.key = n.previous
    returning o.feed, n.key, (select b.old_email from tributary_open_row b where b.feed = o.feed and b.key = o.key) as email
)
update tributary_open_row o
set old_email = moved.email
from moved
where o.feed = moved.feed and o.key = moved.key
