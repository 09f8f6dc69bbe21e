-- $1: scopes; $2: what conflicts concern beside their scope. One that both find is the same conflict twice. The range of one value
-- and the order leave no other index for the second: a plan that was made while there were few conflicts would walk the index of
-- all scopes.
select fingerprint, kind, status, evidence_digest, severity, scope, also, amount::text
from tributary.conflict
where status <> 'resolved' and scope = any($1)
union all
select k.*
from unnest($2::text[]) as v (scope)
cross join lateral (
    select c.fingerprint, c.kind, c.status, c.evidence_digest, c.severity, c.scope, c.also, c.amount::text
    from tributary.conflict c
    where c.status <> 'resolved' and c.also is not null and c.also >= v.scope and c.also <= v.scope
    order by c.also
    offset 0
) k
