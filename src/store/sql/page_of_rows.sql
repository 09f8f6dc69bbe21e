-- $1: the feed; $2: the key to begin after; $3: most rows; $4: bytes of values after which no row is begun.
select feed, key, owner, email_key, shared_id, member, digest, outcome, chunk, generation, complete, raw
from (
    select page.*, coalesce(sum(octet_length(page.raw)) over (rows between unbounded preceding and 1 preceding), 0) as before
    from (
        select r.* from tributary.source_row r where r.feed = $1 and r.key > $2 order by r.feed, r.key limit $3
    ) page
) page
where before < $4
order by feed, key
