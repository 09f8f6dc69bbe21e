-- For each new person: the eldest profile with the address, the profile that a decision keeps, the auth
-- user with the address, and whether the derived id is another profile's already.
with k as materialized (
    select * from unnest($1::text[], $2::uuid[]) as k (key, derived)
),
auth as materialized (
    select distinct on (k.key) k.key, u.id
    from k
    join {auth_users} u on u.email = k.key
    where not exists (select from tributary.person o where o.profile_id = u.id and o.email_key <> k.key)
        -- A profile with that id and another address is that address's where it has facts, whoever comes first.
        and not exists (
            select
            from (
                select coalesce(e.email_key, p.email::text) as key
                from {profiles} p
                left join tributary.profile_email e
                    on e.profile_id = p.id and e.email = p.email::text
                where p.id = u.id
            ) held
            where held.key <> k.key
                and exists (select from tributary.source_row r where r.owner = held.key))
    order by k.key, u.id
)
select k.key, existing.id, decided.profile_id, auth.id,
    (select true from {profiles} p where p.id = k.derived limit 1) is not null
        or exists (select from tributary.person o where o.profile_id = k.derived and o.email_key <> k.key)
from k
left join lateral (
    select p.id
    from (
        select p.id, p.created_at from {profiles} p where p.email = k.key::{email_type}
        union
        select p.id, p.created_at
        from tributary.profile_email e
        join {profiles} p on p.id = e.profile_id and p.email::text = e.email
        where e.email_key = k.key
    ) p
    where not exists (select from tributary.person o where o.profile_id = p.id and o.email_key <> k.key)
    order by p.created_at nulls last, p.id
    limit 1
) existing on true
left join lateral (
    select d.profile_id
    from tributary.decision d
    where d.kind = 'alias' and d.b = k.key and d.reverted_at is null and d.profile_id is not null
        and not exists (select from tributary.person o where o.profile_id = d.profile_id)
    order by d.id desc
    limit 1
) decided on true
left join auth on auth.key = k.key
order by k.key
