update tributary.source_row r
set owner = n.owner, email_key = nullif(n.email, n.owner), outcome = null
from (
    select o.feed, o.key, o.email,
        coalesce((select a.root_key from tributary.alias a where a.from_key = o.email), o.email) as owner
    from (
        select feed, key, coalesce(email_key, owner) as email from tributary.source_row where owner = $1
    ) o
) n
where r.feed = n.feed and r.key = n.key and r.owner = $1
