-- For each external_id whose payments differ in person, amount, currency, product or payment_id: sides
-- from both ends of each index, so that at least two that differ are among them.
select distinct on (v.external_id, p.source_key)
    v.external_id, p.source_key, p.person, p.amount, p.currency, p.products, p.payment_id, p.status
from unnest($1::text[]) as v (external_id)
cross join lateral (
    (select identity as lowest from tributary.payment
        where external_id = v.external_id order by external_id, identity limit 1)
) low
cross join lateral (
    (select identity as highest from tributary.payment
        where external_id = v.external_id order by external_id desc, identity desc limit 1)
) high
cross join lateral (
    (select * from tributary.payment where external_id = v.external_id
        order by external_id, identity, source_key limit 3)
    union all
    (select * from tributary.payment where external_id = v.external_id
        order by external_id desc, identity desc, source_key desc limit 3)
    union all
    (select * from tributary.payment where external_id = v.external_id
        order by external_id, person, source_key limit 3)
    union all
    (select * from tributary.payment where external_id = v.external_id
        order by external_id desc, person desc, source_key desc limit 3)
    union all
    (select * from tributary.payment where external_id = v.external_id and payment_id is not null
        order by external_id, payment_id, source_key limit 3)
    union all
    (select * from tributary.payment where external_id = v.external_id and payment_id is not null
        order by external_id desc, payment_id desc, source_key desc limit 3)
) p
where low.lowest <> high.highest
    or (select min(person) <> max(person) from tributary.payment where external_id = v.external_id)
    or (select min(payment_id) <> max(payment_id) from tributary.payment
        where external_id = v.external_id and payment_id is not null)
order by v.external_id, p.source_key
