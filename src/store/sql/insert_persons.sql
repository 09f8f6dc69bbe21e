insert into tributary.person
    (email_key, profile_id, canonical, state, profile_digest, enrollments_digest, outside, first_seen_at)
select n.email_key, n.profile_id, n.canonical, n.state, n.profile, n.enrollments, n.outside,
    coalesce((select p.created_at from {profiles} p where p.id = n.profile_id), now())
from unnest($1::text[], $2::uuid[], $3::text[], $4::uuid[], $5::uuid[], $6::bool[], $7::text[]) as n
    (email_key, profile_id, state, profile, enrollments, outside, canonical)
