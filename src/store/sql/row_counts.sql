-- $1: e-mail keys; $2: the person of each. Rows and contacts that carry each key.
select k.key, n.facts, n.contacts
from unnest($1::text[], $2::text[]) as k (key, root)
cross join lateral (
    select count(*) as facts, count(*) filter (where f.kind = 'contact') as contacts
    from tributary.source_row r
    join tributary.feed f on f.number = r.feed
    where r.owner = k.root and coalesce(r.email_key, r.owner) = k.key
) n
