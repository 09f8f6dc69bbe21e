-- Each person with the first earlier one of the same canonical key that it is not separated from.
select first.email_key, m.email_key, m.canonical
from tributary.person m
cross join lateral (
    select p.email_key
    from tributary.person p
    where p.canonical = m.canonical and p.state = 'present' and p.email_key < m.email_key
        and not exists (
            select from tributary.decision d
            where d.kind = 'separate' and d.reverted_at is null
                and d.a = p.email_key and d.b = m.email_key)
    order by p.email_key
    limit 1
) first
where m.email_key = any($1) and m.state = 'present'
