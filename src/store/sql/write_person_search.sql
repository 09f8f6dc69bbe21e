-- What persons are looked for by, where it differs; and with the sum of their payments the amounts of the open conflicts
-- between people that it is at stake in.
with written as (
    insert into tributary.person_search as s (email_key, name, last_name, phone, paid)
    select n.email_key, n.name, n.last_name, n.phone, n.paid::numeric
    from (
        -- Of a person without a profile (the last column) the names stay.
        select n.email_key,
            case when n.profile is null then o.name else n.name end,
            case when n.profile is null then o.last_name else n.last_name end,
            case when n.profile is null then o.phone else n.phone end,
            n.paid
        from unnest($1::text[], $2::text[], $3::text[], $4::text[], $5::text[], $6::text[]) as n
            (email_key, name, last_name, phone, paid, profile)
        left join tributary.person_search o on n.profile is null and o.email_key = n.email_key
    ) n (email_key, name, last_name, phone, paid)
    on conflict (email_key) do update set
        name = excluded.name,
        last_name = excluded.last_name,
        phone = excluded.phone,
        paid = excluded.paid
    where (s.name, s.last_name, s.phone, s.paid)
        is distinct from (excluded.name, excluded.last_name, excluded.phone, excluded.paid)
    returning email_key, paid
)
update tributary.conflict c
set amount = m.amount
from (
    select distinct on (k.id) k.id, (
            select coalesce(sum(coalesce(w.paid, s.paid)), 0)
            from (
                select jsonb_array_elements_text(k.evidence -> 'emails')
                union select k.evidence ->> 'from'
                union select k.evidence ->> 'to') e (email)
            left join written w on w.email_key = e.email
            left join tributary.person_search s on s.email_key = e.email) as amount
    from written w
    cross join lateral (
        select id, evidence from tributary.conflict
        where status <> 'resolved' and scope in ('pair:' || w.email_key, 'collision:' || w.email_key)
        union all
        select id, evidence from tributary.conflict
        where status <> 'resolved' and also is not null and also in ('with:' || w.email_key, 'collision:' || w.email_key)) k
) m
where c.id = m.id and c.amount is distinct from m.amount
