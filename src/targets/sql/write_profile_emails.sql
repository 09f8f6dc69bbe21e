-- Records the addresses of profiles; returns the e-mail keys that they had until now.
with n as materialized (
    select profile_id::uuid as profile_id, email, email_key
    from unnest($1::text[], $2::text[], $3::text[]) as n (profile_id, email, email_key)
),
written as (
    insert into tributary.profile_email (profile_id, email, email_key)
    select profile_id, email, email_key from n
    on conflict (profile_id) do update set email = excluded.email, email_key = excluded.email_key
)
select e.email_key
from n
join tributary.profile_email e on e.profile_id = n.profile_id
where e.email_key is not null
