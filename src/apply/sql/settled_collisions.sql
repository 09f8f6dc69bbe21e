select k.fingerprint
from tributary.conflict k
where k.kind = 'email_change_collision' and k.status <> 'resolved'
    and (k.evidence ->> 'from' = any($1) or k.evidence ->> 'to' = any($1))
    and (
        not exists (
            select from tributary.contact c
            where c.source_key = substr(k.evidence ->> 'source_row', 11)
                and c.owner = k.evidence ->> 'to')
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
