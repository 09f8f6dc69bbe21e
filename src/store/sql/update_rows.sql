update tributary.source_row r
set owner = n.owner, email_key = n.email_key, shared_id = n.shared_id, member = n.member, digest = n.digest,
    outcome = n.outcome, chunk = n.chunk, generation = n.generation, complete = n.complete, raw = n.raw
from unnest($1::int2[], $2::text[], $3::text[], $4::text[], $5::text[], $6::bytea[], $7::uuid[], $8::uuid[],
    $9::int8[], $10::int8[], $11::bool[], $12::bytea[])
    as n (feed, key, owner, email_key, shared_id, member, digest, outcome, chunk, generation, complete, raw)
where r.feed = n.feed and r.key = n.key
