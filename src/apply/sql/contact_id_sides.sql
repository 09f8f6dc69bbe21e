-- For each contact_id that two or more persons carry: the first ten of them in byte order, with the person
-- that it stays with. A skip scan: as many index probes as persons shown, however many contacts there are.
with recursive side as (
    select v.contact_id, (
            select min(c.owner) from tributary.contact c
            where c.contact_id = v.contact_id and c.email_key is not null
        ) as owner, 1 as n
    from unnest($1::text[]) as v (contact_id)
    union all
    select s.contact_id, (
            select min(c.owner) from tributary.contact c
            where c.contact_id = s.contact_id and c.email_key is not null and c.owner > s.owner
        ), s.n + 1
    from side s
    where s.owner is not null and s.n < 10
)
select s.contact_id, first.owner, s.owner
from side s
cross join lateral (
    select c.owner
    from tributary.contact c
    where c.contact_id = s.contact_id and c.email_key is not null
    order by c.updated_at desc nulls last, c.created_at desc nulls last, c.source_key
    limit 1
) first
where s.owner is not null
    and exists (select from side other where other.contact_id = s.contact_id and other.n = 2
        and other.owner is not null)
order by s.contact_id, s.owner
