-- $1: a feed. How many rows that were there before the open source transaction are not any more: neither under their key, which
-- another row may have got, nor under the one that they were given.
select coalesce(sum(
        (o.owner_before is not null and not o.is_rekeyed and (r.key is null or o.is_carried))::int
        + (o.is_carried and r.key is null)::int + o.lost), 0)::bigint
from tributary_open_row o
left join tributary.source_row r on r.feed = o.feed and r.key = o.key
where o.feed = $1
