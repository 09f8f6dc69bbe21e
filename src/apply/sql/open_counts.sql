-- $1: e-mail keys; $2: the person of each. Rows that carried each key before the open source transaction, and
-- contacts that carry it now.
select k.key,
    n.facts
    - (
        select count(*) from tributary.source_row r
        join tributary_open_row o on o.feed = r.feed and o.key = r.key
        where r.owner = k.root and coalesce(r.email_key, r.owner) = k.key
            and o.email_before is distinct from k.key)
    + (
        select count(*) from tributary_open_row o
        where o.email_before = k.key and not exists (
            select from tributary.source_row r
            where r.feed = o.feed and r.key = o.key and coalesce(r.email_key, r.owner) = k.key)),
    n.contacts
from unnest($1::text[], $2::text[]) as k (key, root)
cross join lateral (
    select count(*) as facts, count(*) filter (where f.kind = 'contact') as contacts
    from tributary.source_row r
    join tributary.feed f on f.number = r.feed
    where r.owner = k.root and coalesce(r.email_key, r.owner) = k.key
) n
