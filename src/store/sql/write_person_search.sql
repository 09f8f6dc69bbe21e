-- What persons are looked for by, where it differs; and where the sum of their payments does, the amounts of the open
-- conflicts between people that it is at stake in. $7, $8: kinds of scopes of such conflicts, and of whom else they concern.
with given as materialized (
    -- Of a person without a profile (the last column) the names stay.
    select n.email_key,
        case when n.profile is null then o.name else n.name end as name,
        case when n.profile is null then o.last_name else n.last_name end as last_name,
        case when n.profile is null then o.phone else n.phone end as phone,
        n.paid::numeric as paid,
        o.email_key is null as is_new,
        o.name as old_name,
        o.last_name as old_last_name,
        o.phone as old_phone,
        coalesce(o.paid, 0) as old_paid
    from unnest($1::text[], $2::text[], $3::text[], $4::text[], $5::text[], $6::text[]) as n
        (email_key, name, last_name, phone, paid, profile)
    left join tributary.person_search o on o.email_key = n.email_key
), inserted as (
    insert into tributary.person_search (email_key, name, last_name, phone, paid)
    select email_key, name, last_name, phone, paid from given where is_new
), updated as (
    update tributary.person_search s
    set name = g.name, last_name = g.last_name, phone = g.phone, paid = g.paid
    from given g
    where s.email_key = g.email_key and not g.is_new
        and (g.name, g.last_name, g.phone, g.paid)
            is distinct from (g.old_name, g.old_last_name, g.old_phone, g.old_paid)
), changed as materialized (
    select email_key, paid from given where paid <> old_paid
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
            left join changed w on w.email_key = e.email
            left join tributary.person_search s on s.email_key = e.email) as amount
    from changed w
    cross join lateral (
        -- The range of one value and the order leave no other index.
        select o.id, o.evidence
        from unnest($7::text[]) as v (kind)
        cross join lateral (
            select a.id, a.evidence from tributary.conflict a
            where a.status <> 'resolved' and a.scope >= v.kind || w.email_key and a.scope <= v.kind || w.email_key
            order by a.scope
            offset 0
        ) o
        union all
        select o.id, o.evidence
        from unnest($8::text[]) as v (kind)
        cross join lateral (
            select a.id, a.evidence from tributary.conflict a
            where a.status <> 'resolved' and a.also is not null
                and a.also >= v.kind || w.email_key and a.also <= v.kind || w.email_key
            order by a.also
            offset 0
        ) o) k
) m
where c.id = m.id and c.amount is distinct from m.amount
