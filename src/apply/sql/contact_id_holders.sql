-- For each contact_id the person whose contact is first over all (SPEC 4.4).
select v.contact_id, first.owner
from unnest($1::text[]) as v (contact_id)
cross join lateral (
    select c.owner
    from tributary.contact c
    where c.contact_id = v.contact_id and c.email_key is not null
    order by c.updated_at desc nulls last, c.created_at desc nulls last, c.source_key
    limit 1
) first
