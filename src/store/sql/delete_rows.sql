delete from tributary.source_row r
using unnest($1::int2[], $2::text[]) as n (feed, key)
where r.feed = n.feed and r.key = n.key
