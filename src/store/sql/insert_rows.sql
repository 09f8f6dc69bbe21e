insert into tributary.source_row
    (feed, key, owner, email_key, shared_id, member, digest, outcome, chunk, generation, complete, raw)
select *
from unnest($1::int2[], $2::text[], $3::text[], $4::text[], $5::text[], $6::bytea[], $7::uuid[], $8::uuid[],
    $9::int8[], $10::int8[], $11::bool[], $12::bytea[])
