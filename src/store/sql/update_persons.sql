-- The canonical key belongs to the e-mail key and never changes.
update tributary.person p
set profile_id = n.profile_id, state = n.state, profile_digest = n.profile, enrollments_digest = n.enrollments,
    outside = n.outside
from unnest($1::text[], $2::uuid[], $3::text[], $4::uuid[], $5::uuid[], $6::bool[]) as n
    (email_key, profile_id, state, profile, enrollments, outside)
where p.email_key = n.email_key
