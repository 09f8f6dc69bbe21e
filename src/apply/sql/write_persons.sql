insert into tributary.person (email_key, profile_id, canonical, state)
select n.email_key, n.profile_id::uuid, n.canonical, n.state
from unnest($1::text[], $2::text[], $3::text[], $4::text[]) as n
    (email_key, profile_id, canonical, state)
on conflict (email_key) do update set
    profile_id = excluded.profile_id,
    canonical = excluded.canonical,
    state = excluded.state
