-- One automatic alias a move. The person keeps the profile of the address it had.
insert into tributary.decision (kind, a, b, automatic, actor, note, profile_id, undo)
select 'alias', n.f, n.t, true, $3, 'the e-mail of a contact changed',
    coalesce(pf.profile_id, pt.profile_id),
    jsonb_build_object('from', pf.profile_id, 'to', pt.profile_id)
from unnest($1::text[], $2::text[]) as n (f, t)
left join tributary.person pf on pf.email_key = n.f
left join tributary.person pt on pt.email_key = n.t
