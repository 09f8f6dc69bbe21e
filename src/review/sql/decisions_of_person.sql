-- Decisions in force about these addresses and source rows.
select id, kind, a, b, automatic, actor, note, created_at
from tributary.decision
where reverted_at is null
    and ((kind in ('alias', 'separate') and (a = any($1) or b = any($1)))
        or (kind in ('email', 'product') and a = any($2))
        or (kind = 'email' and b = any($1)))
order by id
