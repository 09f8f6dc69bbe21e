-- For each contact_id that contacts of these owners carry: the person whose contact is first over all.
select v.contact_id, first.owner
from (
    select distinct contact_id
    from tributary.contact
    where owner = any($1) and contact_id is not null and email_key is not null
) v
cross join lateral (
    select c.owner
    from tributary.contact c
    where c.contact_id = v.contact_id and c.email_key is not null
    order by c.updated_at desc nulls last, c.created_at desc nulls last, c.source_key
    limit 1
) first
