-- $1: persons who came, left or came back; $2: their canonical keys. Besides themselves: the next person of the
-- canonical key, whose nearest earlier one may be another now, and those whom a separation keeps from somebody.
with changed as materialized (
    select * from unnest($1::text[], $2::text[]) as n (email_key, canonical)
),
separated as materialized (
    select d.b, p.canonical
    from tributary.decision d
    cross join lateral (
        select n.canonical, n.state from tributary.person n where n.email_key = d.b limit 1
    ) p
    where d.kind = 'separate' and d.reverted_at is null and p.state = 'present'
)
select email_key from changed
union
select f.email_key
from changed c
cross join lateral (
    select p.email_key, p.canonical
    from tributary.person p
    where (p.canonical, p.email_key) > (c.canonical, c.email_key) and p.canonical <= c.canonical
        and p.state = 'present'
    order by p.canonical, p.email_key
    limit 1
) f
union
select s.b
from changed c
join separated s on s.canonical = c.canonical
