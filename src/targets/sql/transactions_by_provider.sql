-- A few of the transactions that carry each of these provider ids, the eldest first, and whose they are as far as the
-- daemon's own tables say: the payment that adopted one, with whether it is stored, and whether the id is a row's own key.
select n.at, t.id, t.provider, t.source, t.source_id, a.feed, a.key, coalesce(a.is_stored, false),
    (select true from tributary.source_row r where r.feed = $2 and r.key = t.id::text limit 1) is not null
from unnest($1::text[]) with ordinality as n (provider_id, at)
cross join lateral (
    select t.id, t.created_at, t.payment_provider::text as provider,
        tributary.metadata(t.metadata) ->> 'source' as source, tributary.metadata(t.metadata) ->> 'source_id' as source_id
    from {transactions} t
    where t.payment_provider_id = n.provider_id::{kind}
    limit $3
) t
left join lateral (
    select a.feed, a.key,
        (select true from tributary.source_row r where r.feed = a.feed and r.key = a.key limit 1) is not null
            as is_stored
    from tributary.adopted_transaction a
    where a.id = t.id
    limit 1
) a on true
order by n.at, t.provider is null, t.created_at nulls last, t.id
