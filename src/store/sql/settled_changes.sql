-- Collisions and splits, found by the persons whom they concern, that are over: the contact is elsewhere, the two
-- are one person or were separated; a split also when either has no row left.
select k.fingerprint
from unnest($1::text[]) as v (scope)
cross join lateral (
    (select c.fingerprint, c.kind, c.evidence from tributary.conflict c
    where c.status <> 'resolved' and c.scope = v.scope)
    union all
    (select c.fingerprint, c.kind, c.evidence from tributary.conflict c
    where c.status <> 'resolved' and c.also is not null and c.also >= v.scope and c.also <= v.scope
    -- With the order no other index does.
    order by c.also
    offset 0)
) k
where k.kind in ('email_change_collision', 'email_change_split')
    and (
        (k.kind = 'email_change_collision' and (
            select true from tributary.source_row r
            join tributary.feed f on f.number = r.feed
            where f.name = split_part(k.evidence ->> 'source_row', ':', 1)
                and r.key = substr(k.evidence ->> 'source_row', strpos(k.evidence ->> 'source_row', ':') + 1)
                and r.owner = k.evidence ->> 'to'
            limit 1) is null)
        or (k.kind = 'email_change_split' and (
            (select true from tributary.source_row r where r.owner = k.evidence ->> 'from' limit 1) is null
            or (select true from tributary.source_row r where r.owner = k.evidence ->> 'to' limit 1) is null))
        or coalesce(
            (select a.root_key from tributary.alias a where a.from_key = k.evidence ->> 'from'),
            k.evidence ->> 'from')
            = coalesce(
                (select a.root_key from tributary.alias a where a.from_key = k.evidence ->> 'to'),
                k.evidence ->> 'to')
        or (
            select true from tributary.decision d
            where d.kind = 'separate' and d.reverted_at is null
                and d.a = least(k.evidence ->> 'from' collate "C", k.evidence ->> 'to' collate "C")
                and d.b = greatest(k.evidence ->> 'from' collate "C", k.evidence ->> 'to' collate "C")
            limit 1) is not null
    )
