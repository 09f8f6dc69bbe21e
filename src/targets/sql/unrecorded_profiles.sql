-- Profiles whose address is neither their person's nor recorded, in the order of their ids.
select p.id, p.email::text
from {profiles} p
where p.id > $1 and p.email is not null
    and not exists (
        select from tributary.profile_email e
        where e.profile_id = p.id and e.email = p.email::text)
    and not exists (
        select from tributary.person o
        where o.profile_id = p.id and o.email_key = p.email::text)
order by p.id
limit $2
