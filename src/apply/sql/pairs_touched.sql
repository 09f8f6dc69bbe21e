-- $1: persons who came, left or came back; $2: their canonical keys.
with changed as (
    select * from unnest($1::text[], $2::text[]) as n (email_key, canonical)
),
shifted as (
    -- Groups whose first member is, or was, one of them.
    select c.canonical
    from changed c
    where not exists (
        select from tributary.person p
        where p.canonical = c.canonical and p.state = 'present' and p.email_key < c.email_key)
)
select p.email_key
from (select distinct canonical from shifted) s
join tributary.person p on p.canonical = s.canonical and p.state = 'present'
union
select d.b
from changed c
join tributary.person p on p.canonical = c.canonical and p.state = 'present'
join tributary.decision d on d.kind = 'separate' and d.reverted_at is null and d.b = p.email_key
