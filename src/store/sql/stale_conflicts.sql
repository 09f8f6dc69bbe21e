-- A page of the conflicts that are not resolved, in the order of their scopes: which were judged about owners and
-- values that no longer exist, or are no longer shared.
select k.scope, k.fingerprint,
    case
        when k.scope like 'owner:%' then
            (select true from tributary.source_row r where r.owner = substr(k.scope, 7) limit 1) is null
            and (select true from tributary.person p where p.email_key = substr(k.scope, 7)) is null
        when k.scope like 'pair:%' then coalesce((
                select p.state from tributary.person p where p.email_key = substr(k.scope, 6)), '') <> 'present'
            or (
                select true
                from tributary.person p
                join tributary.person o on o.canonical = p.canonical and o.state = 'present'
                    and o.email_key < p.email_key
                where p.email_key = substr(k.scope, 6)
                limit 1) is null
        -- `external_id:<v>` of the primary feed, `external_id:<feed>/<v>` of another.
        when k.scope ~ '^(external|contact)_id:' then not exists (
            select
            from (select split_part(k.scope, ':', 1), substr(k.scope, strpos(k.scope, ':') + 1)) s (kind, value)
            join tributary.feed f on f.kind = case s.kind when 'contact_id' then 'contact' else 'payment' end
                and (f.is_primary or starts_with(s.value, f.name || '/'))
            cross join lateral (
                select count(*) as rows
                from (
                    select from tributary.source_row r
                    where r.feed = f.number and r.shared_id
                        = case when f.is_primary then s.value else substr(s.value, length(f.name) + 2) end
                    order by r.feed, r.shared_id
                    limit 2
                ) two
            ) n
            where n.rows = 2)
        -- Of an older version: what is refused now was recorded with its owner by now.
        when k.scope like 'rejected:%' then k.also is null
        -- Scopes of an older version: a row, or a person's link, by itself.
        else k.scope !~ '^(collision|blocked):'
    end
from (
    select scope, fingerprint, also from tributary.conflict
    -- The index of scopes begins where the page does.
    where status <> 'resolved' and scope >= $1 and (scope, fingerprint) > ($1, $2)
    order by scope, fingerprint
    limit $3
) k
order by k.scope, k.fingerprint
