-- Moves where both sides have a profile, with the decision that records each.
select d.id, n.f, n.t
from unnest($1::text[], $2::text[]) as n (f, t)
join tributary.person pf on pf.email_key = n.f
join tributary.person pt on pt.email_key = n.t
join tributary.decision d
    on d.kind = 'alias' and d.a = n.f and d.b = n.t and d.reverted_at is null
