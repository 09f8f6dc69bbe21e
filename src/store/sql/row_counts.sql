-- $1: e-mail keys. Of each of them and of all keys with the same person: that person, whether the e-mail change rule
-- made the alias that leads there (NULL: none leads), and the rows and contacts that carry the key.
with person as materialized (
    select distinct coalesce(a.root_key, k.key) as key
    from unnest($1::text[]) as k (key)
    left join tributary.alias a on a.from_key = k.key
),
member as materialized (
    select p.key, p.key as root, null::boolean as automatic from person p
    union all
    select a.from_key, a.root_key, d.automatic
    from person p
    join tributary.alias a on a.root_key = p.key
    join tributary.decision d on d.kind = 'alias' and d.a = a.from_key and d.reverted_at is null
)
select k.key, k.root, k.automatic, n.facts, n.contacts
from member k
cross join lateral (
    select count(*) as facts, count(*) filter (where f.kind = 'contact') as contacts
    from tributary.source_row r
    join tributary.feed f on f.number = r.feed
    where r.owner = k.root and coalesce(r.email_key, r.owner) = k.key
) n
