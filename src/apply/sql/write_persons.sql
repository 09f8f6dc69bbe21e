-- A profile that was there before was first written when it says it was made.
insert into tributary.person (email_key, profile_id, canonical, state, first_seen_at)
select n.email_key, n.profile_id::uuid, n.canonical, n.state,
    coalesce((select p.created_at from {profiles} p where p.id = n.profile_id::uuid), now())
from unnest($1::text[], $2::text[], $3::text[], $4::text[]) as n
    (email_key, profile_id, canonical, state)
on conflict (email_key) do update set
    profile_id = excluded.profile_id,
    canonical = excluded.canonical,
    state = excluded.state
