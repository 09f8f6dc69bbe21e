-- A page of the conflicts that are not resolved, in the order of their scopes: which were judged about rows, owners
-- and values that no longer exist.
select k.scope, k.fingerprint,
    case
        when k.scope like 'owner:%' then not exists (
                select from tributary.source_row r where r.owner = substr(k.scope, 7))
            and not exists (select from tributary.person p where p.email_key = substr(k.scope, 7))
        when k.scope like 'pair:%' then not exists (
            select from tributary.person p where p.email_key = substr(k.scope, 6) and p.state = 'present')
        when k.scope like 'external_id:%' then not exists (
            select from tributary.source_row r where r.feed = 2 and r.shared_id = substr(k.scope, 13))
        when k.scope like 'contact_id:%' then not exists (
            select from tributary.source_row r where r.feed = 1 and r.shared_id = substr(k.scope, 12))
        -- Scopes of an older version: a row, or a person's link, by itself.
        else k.scope !~ '^(owner|pair|external_id|contact_id|collision|blocked|rejected):'
    end
from (
    select scope, fingerprint from tributary.conflict
    where status <> 'resolved' and scope > $1 order by scope limit $2
) k
