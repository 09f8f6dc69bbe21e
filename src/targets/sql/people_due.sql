-- Persons whose managed enrollments are not what they should be on this day ($1). The columns may have other types.
select p.email_key
from {enrollments} e
cross join lateral (
    select case when e.expiry_date::text ~ '^\d{4}-\d{2}-\d{2}' then left(e.expiry_date::text, 10)::date end as expiry
) x
join tributary.person p on p.profile_id = e.user_id and p.state = 'present'
where tributary.metadata(e.metadata) ->> 'managed_by' = 'tributary'
    and e.completion_date is null
    and ((e.status::text = 'active' and x.expiry < $1::text::date)
        or (e.status::text = 'expired' and (e.expiry_date is null or x.expiry >= $1::text::date)))
    and not exists (select from tributary.quarantine q where q.owner = p.email_key)
