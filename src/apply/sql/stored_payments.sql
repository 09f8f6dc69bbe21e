select source_key, owner, email_key, external_id, digest, chunk, generation
from tributary.payment
where source_key = any($1)
