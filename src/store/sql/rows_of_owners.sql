-- $1: the owners; $2: bytes of values. Values that come after so many of others are left out.
select feed, key, owner, email_key, shared_id, member, digest, outcome, chunk, generation, complete,
    case when coalesce(sum(octet_length(raw)) over (rows between unbounded preceding and 1 preceding), 0) < $2 then raw end
from tributary.source_row
where owner = any($1)
