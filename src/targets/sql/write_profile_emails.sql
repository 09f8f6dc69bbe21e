insert into tributary.profile_email (profile_id, email, email_key)
select n.profile_id::uuid, n.email, n.email_key
from unnest($1::text[], $2::text[], $3::text[]) as n (profile_id, email, email_key)
on conflict (profile_id) do update set email = excluded.email, email_key = excluded.email_key
