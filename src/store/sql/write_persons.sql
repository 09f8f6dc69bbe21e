insert into tributary.person
    (email_key, profile_id, canonical, state, profile_digest, enrollments_digest, first_seen_at)
select n.email_key, n.profile_id::uuid, n.canonical, n.state, n.profile::uuid, n.enrollments::uuid,
    coalesce((select p.created_at from {profiles} p where p.id = n.profile_id::uuid), now())
from unnest($1::text[], $2::text[], $3::text[], $4::text[], $5::text[], $6::text[]) as n
    (email_key, profile_id, canonical, state, profile, enrollments)
on conflict (email_key) do update set
    profile_id = excluded.profile_id,
    canonical = excluded.canonical,
    state = excluded.state,
    profile_digest = excluded.profile_digest,
    enrollments_digest = excluded.enrollments_digest
