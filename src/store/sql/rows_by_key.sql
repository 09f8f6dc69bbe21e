select r.feed, r.key, r.owner, r.email_key, r.shared_id, r.member, r.digest, r.outcome, r.chunk, r.generation,
    r.complete
from unnest($1::int2[], $2::text[]) as n (feed, key)
join tributary.source_row r on r.feed = n.feed and r.key = n.key
