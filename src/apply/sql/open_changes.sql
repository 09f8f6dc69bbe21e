-- The addresses that contacts changed from and to in the open transaction, with the first contact of each. What went
-- from one person to another has one number; within a person, an address that came back is judged first. $1: rows of
-- an older generation are no longer in the source.
insert into tributary_open_change (number, old_key, new_key, key)
select dense_rank() over (
        order by (from_root <> to_root), first_key, from_root, to_root),
    old_key, new_key, key
from (
    select c.*, min(c.key) over (partition by c.from_root, c.to_root) as first_key
    from (
        select o.old_email as old_key, coalesce(r.email_key, r.owner) as new_key,
            min((f.name || ':' || o.key) collate "C") as key,
            coalesce(a.root_key, o.old_email) as from_root,
            coalesce(b.root_key, coalesce(r.email_key, r.owner)) as to_root
        from tributary_open_row o
        join tributary.source_row r on r.feed = o.feed and r.key = o.key
        join tributary.feed f on f.number = r.feed and f.kind = 'contact'
        left join tributary.alias a on a.from_key = o.old_email
        left join tributary.alias b on b.from_key = coalesce(r.email_key, r.owner)
        where o.old_email is not null and strpos(r.owner, ' ') = 0 and r.generation >= $1
            and o.old_email <> coalesce(r.email_key, r.owner)
        group by o.old_email, coalesce(r.email_key, r.owner), a.root_key, b.root_key
    ) c
) c
