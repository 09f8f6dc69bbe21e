-- The persons of some e-mail keys, and every alias that ends at one of them.
with person as (
    select distinct coalesce(a.root_key, k.key) as key
    from unnest($1::text[]) as k (key)
    left join tributary.alias a on a.from_key = k.key
)
select a.from_key, a.root_key, d.automatic
from person p
join tributary.alias a on a.root_key = p.key
join tributary.decision d on d.kind = 'alias' and d.a = a.from_key and d.reverted_at is null
