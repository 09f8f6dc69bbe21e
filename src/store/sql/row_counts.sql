select k.owner,
    (select count(*) from tributary.source_row r where r.owner = k.owner),
    (select count(*) from tributary.source_row r
        join tributary.feed f on f.number = r.feed and f.kind = 'contact' where r.owner = k.owner)
from unnest($1::text[]) as k (owner)
