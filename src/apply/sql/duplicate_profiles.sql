-- Profiles beside the persons' own that carry the same address, by person.
select k.key, count(*)
from unnest($1::text[]) as k (key)
join tributary.profile_email e on e.email_key = k.key
join {profiles} p on p.id = e.profile_id and p.email::text = e.email
where not exists (select from tributary.person o where o.profile_id = p.id)
group by k.key
