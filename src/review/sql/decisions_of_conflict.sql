select id, kind, a, b, actor, note, created_at, reverted_at, reverted_by
from tributary.decision
where conflict_id = $1
    or (kind = 'dismiss' and a = $2)
    or (kind in ('email', 'product') and a = $3)
    or (kind in ('alias', 'separate') and ((a = $4 and b = $5) or (a = $5 and b = $4)))
order by id
