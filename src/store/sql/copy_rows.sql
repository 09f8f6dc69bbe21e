copy tributary.source_row
    (feed, key, owner, email_key, shared_id, member, digest, outcome, chunk, generation, complete, raw)
from stdin (format binary)
