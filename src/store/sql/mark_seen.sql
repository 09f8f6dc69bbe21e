update tributary.source_row r
set chunk = coalesce($3, r.chunk), generation = $4
from unnest($1::int2[], $2::text[]) as n (feed, key)
where r.feed = n.feed and r.key = n.key
