-- Rows that were read as they are stored: $3 chunk, $4 the backfill that saw them. Chunk 0 says that the stream brought the row
-- while this backfill read, which stays true.
update tributary.source_row r
set chunk = case when r.chunk = 0 and r.generation = $4 then 0 else coalesce($3, r.chunk) end, generation = $4
from unnest($1::int2[], $2::text[]) as n (feed, key)
where r.feed = n.feed and r.key = n.key
