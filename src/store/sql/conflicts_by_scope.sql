-- One that both find is the same conflict twice.
select fingerprint, kind, status, evidence_digest, severity, scope, also, amount::text
from tributary.conflict
where status <> 'resolved' and scope = any($1)
union all
select fingerprint, kind, status, evidence_digest, severity, scope, also, amount::text
from tributary.conflict
where status <> 'resolved' and also is not null and also = any($1)
