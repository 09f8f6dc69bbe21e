-- What became of a person's rows: the profile, its transactions in order, its enrollments.
with after (place, at, name, pairs) as (
    select 1, null::timestamptz, 'profile', jsonb_build_array(
            array['email', email], array['first_name', first_name], array['last_name', last_name],
            array['phone', phone], array['tags', array_to_string(tags, ', ')],
            array['cohort_date', cohort_date::text])
    from unified_profiles
    where email = $1
    union all
    select 2, t.paid_at, 'transaction', jsonb_build_array(
            array['status', t.status], array['amount', t.amount::text],
            array['currency', t.currency], array['product_name', t.product_name],
            array['paid_at', to_char(t.paid_at at time zone 'UTC', 'YYYY-MM-DD"T"HH24:MI:SS"Z"')])
    from transactions t
    join unified_profiles p on p.id = t.user_id
    where p.email = $1
    union all
    select 3, null, 'enrollment', jsonb_build_array(
            array['course', c.title], array['status', e.status],
            array['start_date', e.start_date::text], array['expiry_date', e.expiry_date::text])
    from enrollments e
    join unified_profiles p on p.id = e.user_id
    join courses c on c.id = e.course_id
    where p.email = $1
)
select name, pairs
from after
order by place, at nulls last
