-- $1, $2: the rows; $3: bytes of values. Values that come after so many of others are left out.
select r.feed, r.key,
    case when coalesce(sum(octet_length(r.raw)) over (rows between unbounded preceding and 1 preceding), 0) < $3 then r.raw end
from unnest($1::int2[], $2::text[]) as n (feed, key)
join tributary.source_row r on r.feed = n.feed and r.key = n.key
