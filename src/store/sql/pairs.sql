-- Each person with the nearest earlier one of the same canonical key that it is not separated from. The comparison
-- of pairs names the index's columns: the planner takes it whatever it knows of the table.
select before.email_key, m.email_key, m.canonical
from unnest($1::text[]) as k (email_key)
cross join lateral (
    select n.email_key, n.canonical, n.state
    from tributary.person n
    where n.email_key = k.email_key
    -- Keeps the condition on the state outside: with it the planner may walk the index of everybody who is present.
    limit 1
) m
cross join lateral (
    select p.email_key, p.canonical
    from tributary.person p
    where (p.canonical, p.email_key) < (m.canonical, m.email_key) and p.canonical >= m.canonical
        and p.state = 'present'
        and not exists (
            select from tributary.decision d
            where d.kind = 'separate' and d.reverted_at is null
                and d.a = p.email_key and d.b = m.email_key)
    order by p.canonical desc, p.email_key desc
    limit 1
) before
where m.state = 'present'
