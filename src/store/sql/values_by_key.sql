select r.feed, r.key, r.raw
from unnest($1::int2[], $2::text[]) as n (feed, key)
join tributary.source_row r on r.feed = n.feed and r.key = n.key
