select source_key, owner, email_key, contact_id, digest, chunk, generation
from tributary.contact
where source_key = any($1)
