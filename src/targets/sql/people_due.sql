select p.email_key
from {enrollments} e
join tributary.person p on p.profile_id = e.user_id and p.state = 'present'
where tributary.metadata(e.metadata) ->> 'managed_by' = 'tributary'
    and e.completion_date is null
    and ((e.status = 'active' and e.expiry_date < $1::text::date)
        or (e.status = 'expired' and (e.expiry_date is null or e.expiry_date >= $1::text::date)))
    and not exists (select from tributary.quarantine q where q.owner = p.email_key)
