-- E-mail: each person has one address, and it is that of the profile. Addresses that two profiles share are conflicts
-- (duplicate_profile) and do not count again.
select 'the profile of a person has the address of the person' as point, '0' as expected, count(*)::text as found,
    count(*) = 0 as ok
from tributary.person o
join :profiles p on p.id = o.profile_id
where o.state = 'present' and not o.outside and lower(p.email::text) is distinct from o.email_key
    and not exists (select from tributary.conflict c
        where c.kind = 'duplicate_profile' and c.status <> 'resolved' and c.scope = 'owner:' || o.email_key)
    and not exists (select from tributary.quarantine q where q.owner = o.email_key)
union all
select 'the address of a person is one that mail can reach', '0', count(*)::text, count(*) = 0
from tributary.person o
where o.state = 'present' and o.email_key !~ '^[^@[:space:]]+@[^@[:space:]]+\.[^@[:space:]]+$'
union all
select 'no profile belongs to two people', '0', count(*)::text, count(*) = 0
from (select from tributary.person group by profile_id having count(*) > 1) shared
union all
select 'addresses that several profiles have are known conflicts', '0', count(*)::text, count(*) = 0
from (
    select lower(p.email::text) as email from :profiles p group by 1 having count(*) > 1
) shared
where exists (select from tributary.person o where o.email_key = shared.email and o.state = 'present')
    and not exists (select from tributary.conflict c where c.kind = 'duplicate_profile' and c.status <> 'resolved'
        and c.scope = 'owner:' || shared.email)
