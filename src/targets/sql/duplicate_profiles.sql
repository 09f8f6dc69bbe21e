-- Profiles beside the persons' own that carry the same address, however they spell it, by person.
select k.key, count(distinct d.id)
from unnest($1::text[]) as k (key)
cross join lateral (
    select p.id
    from tributary.profile_email e
    join {profiles} p on p.id = e.profile_id and p.email::text = e.email
    where e.email_key = k.key
    union all
    select p.id from {profiles} p where p.email = k.key::{email_type}
) d
where d.id <> all($2) and not exists (select from tributary.person o where o.profile_id = d.id)
group by k.key
