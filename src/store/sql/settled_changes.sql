-- Collisions and splits, found by the persons whom they concern, that are over: the contact is elsewhere, the two
-- are one person or were separated; a split also when either has no row left.
select k.fingerprint
from tributary.conflict k
where k.status <> 'resolved'
    and (k.scope = any($1) or (k.also is not null and k.also = any($1)))
    and k.kind in ('email_change_collision', 'email_change_split')
    and (
        (k.kind = 'email_change_collision' and not exists (
            select from tributary.source_row r
            join tributary.feed f on f.number = r.feed
            where f.name = split_part(k.evidence ->> 'source_row', ':', 1)
                and r.key = substr(k.evidence ->> 'source_row', strpos(k.evidence ->> 'source_row', ':') + 1)
                and r.owner = k.evidence ->> 'to'))
        or (k.kind = 'email_change_split' and (
            not exists (select from tributary.source_row r where r.owner = k.evidence ->> 'from')
            or not exists (select from tributary.source_row r where r.owner = k.evidence ->> 'to')))
        or coalesce(
            (select a.root_key from tributary.alias a where a.from_key = k.evidence ->> 'from'),
            k.evidence ->> 'from')
            = coalesce(
                (select a.root_key from tributary.alias a where a.from_key = k.evidence ->> 'to'),
                k.evidence ->> 'to')
        or exists (
            select from tributary.decision d
            where d.kind = 'separate' and d.reverted_at is null
                and d.a = least(k.evidence ->> 'from' collate "C", k.evidence ->> 'to' collate "C")
                and d.b = greatest(k.evidence ->> 'from' collate "C", k.evidence ->> 'to' collate "C"))
    )
