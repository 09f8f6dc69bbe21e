-- The next profiles by id, up to $2: those whose address is neither their person's nor recorded; and, without an address, the
-- last of the page where more may follow. Each is looked up by itself (offset): a plan may read all persons for a page.
with page as materialized (
    select p.id, p.email::text as email
    from {profiles} p
    where p.id > $1
    order by p.id
    limit $2
)
select n.id, n.email
from page n
where n.email is not null
    and not exists (
        select from tributary.profile_email e
        where e.profile_id = n.id and e.email = n.email
        offset 0)
    and not exists (
        select from tributary.person o
        where o.profile_id = n.id and o.email_key = n.email
        offset 0)
union all
(select l.id, null from page l order by l.id offset $2 - 1 limit 1)
