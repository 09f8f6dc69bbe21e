-- Rows of each person before the open source transaction.
select k.owner,
    (select count(*) from tributary.source_row r where r.owner = k.owner)
    - (
        select count(*) from tributary.source_row r
        join tributary_open_row o on o.feed = r.feed and o.key = r.key
        where r.owner = k.owner and o.owner_before is distinct from r.owner)
    + (
        select count(*) from tributary_open_row o
        where o.owner_before = k.owner and not exists (
            select from tributary.source_row r
            where r.feed = o.feed and r.key = o.key and r.owner = o.owner_before))
from unnest($1::text[]) as k (owner)
