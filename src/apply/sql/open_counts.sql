-- $1: e-mail keys; $2: the person of each; $3: rows of an older generation are no longer in the source. What the open
-- transaction did to each key: rows that left it; rows that came to it, where all that came to the person came from
-- one other person; contacts that are stored but gone; rows that the stream brought while the reconcile read (chunk 0), which
-- is after whatever it found changed.
select k.key, gone.rows, came.rows, absent.contacts, later.rows, later.contacts
from unnest($1::text[], $2::text[]) as k (key, root)
cross join lateral (
    select count(*) as rows
    from tributary_open_row o
    where o.email_before = k.key and not exists (
        select from tributary.source_row r
        where r.feed = o.feed and r.key = o.key and coalesce(r.email_key, r.owner) = k.key)
) gone
cross join lateral (
    select case when count(distinct n.from_root) = 1
        then count(*) filter (where n.key = k.key) else 0 end as rows
    from (
        select coalesce(r.email_key, r.owner) as key, coalesce(a.root_key, o.old_email) as from_root
        from tributary.source_row r
        join tributary_open_row o on o.feed = r.feed and o.key = r.key
        left join tributary.alias a on a.from_key = o.old_email
        where r.owner = k.root and o.old_email is not null
    ) n
    where n.from_root <> k.root
) came
cross join lateral (
    select count(*) as contacts
    from tributary.source_row r
    join tributary.feed f on f.number = r.feed and f.kind = 'contact'
    where r.owner = k.root and coalesce(r.email_key, r.owner) = k.key and r.generation < $3
        -- A reconcile of some feeds says nothing of the rows of others.
        and exists (select from tributary.backfill b where b.feeds is null or r.feed = any (b.feeds))
) absent
cross join lateral (
    select count(*) as rows, count(*) filter (where f.kind = 'contact') as contacts
    from tributary.source_row r
    join tributary.feed f on f.number = r.feed
    where r.owner = k.root and coalesce(r.email_key, r.owner) = k.key and r.chunk = 0 and r.generation = $3
) later
