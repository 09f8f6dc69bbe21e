-- $1, $2: values that several rows share; $3: most rows.
select r.feed, r.key, r.owner, r.email_key, r.shared_id, r.member, r.digest, r.outcome, r.chunk, r.generation,
    r.complete, r.raw
from unnest($1::int2[], $2::text[]) as v (feed, shared_id)
join tributary.source_row r on r.feed = v.feed and r.shared_id = v.shared_id and r.member is null
limit $3
