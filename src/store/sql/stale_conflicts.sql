-- A page of the conflicts that are not resolved, in the order of their scopes: which were judged about owners and
-- values that no longer exist, or are no longer shared.
select k.scope, k.fingerprint,
    case
        when k.scope like 'owner:%' then not exists (
                select from tributary.source_row r where r.owner = substr(k.scope, 7))
            and not exists (select from tributary.person p where p.email_key = substr(k.scope, 7))
        when k.scope like 'pair:%' then coalesce((
                select p.state from tributary.person p where p.email_key = substr(k.scope, 6)), '') <> 'present'
            or not exists (
                select
                from tributary.person p
                join tributary.person o on o.canonical = p.canonical and o.state = 'present'
                    and o.email_key < p.email_key
                where p.email_key = substr(k.scope, 6))
        when k.scope like 'external_id:%' then (
            select count(*) < 2
            from (
                select from tributary.source_row r
                where r.feed = 2 and r.shared_id = substr(k.scope, 13)
                order by r.feed, r.shared_id
                limit 2
            ) two)
        when k.scope like 'contact_id:%' then (
            select count(*) < 2
            from (
                select from tributary.source_row r
                where r.feed = 1 and r.shared_id = substr(k.scope, 12)
                order by r.feed, r.shared_id
                limit 2
            ) two)
        -- Of an older version: what is refused now was recorded with its owner by now.
        when k.scope like 'rejected:%' then k.also is null
        -- Scopes of an older version: a row, or a person's link, by itself.
        else k.scope !~ '^(collision|blocked):'
    end
from (
    select scope, fingerprint, also from tributary.conflict
    where status <> 'resolved' and (scope, fingerprint) > ($1, $2)
    order by scope, fingerprint
    limit $3
) k
order by k.scope, k.fingerprint
