-- Open conflicts judged over these scopes, and pairs that these addresses are the first of.
select id, kind, severity, subject, evidence
from tributary.conflict
where status = 'open'
    and (scope = any($1)
        or (kind = 'possible_duplicate' and evidence -> 'emails' ?| $2::text[])
        or (kind in ('email_change_collision', 'email_change_split')
            and (evidence ->> 'from' = any($2) or evidence ->> 'to' = any($2))))
order by severity = 'info', id
