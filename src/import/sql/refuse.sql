-- A batch that is repeated keeps the same records.
insert into tributary.import_reject
    (import, run, load, record, element, outcome, key, field, reason, other_key, other_record, text)
select $1, $2, $3, r.*
from unnest($4::int8[], $5::int4[], $6::text[], $7::text[], $8::text[], $9::text[], $10::text[], $11::int8[],
    $12::text[]) r
on conflict (import, run, load, record, element) do nothing
