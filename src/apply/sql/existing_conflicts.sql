select fingerprint, status, evidence_digest, severity, scope
from tributary.conflict
where (status <> 'resolved' and scope = any($1)) or fingerprint = any($2)
