update tributary.person p
set email_key = n.t, canonical = n.canonical, state = 'present', profile_digest = null,
    enrollments_digest = null
from unnest($1::text[], $2::text[], $3::text[]) as n (f, t, canonical)
where p.email_key = n.f
    and not exists (select from tributary.person other where other.email_key = n.t)
