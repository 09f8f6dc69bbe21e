-- Business rules: enrollments and what they stand for.
with expected as (
    select :'expected'::jsonb as of
),
managed as (
    select e.* from :enrollments e where tributary.metadata(e.metadata) ->> 'managed_by' = 'tributary'
),
paid as (
    select e.key as product, (e.value ->> 0)::bigint as least, (e.value ->> 1)::bigint as most,
        (
            select count(*)
            from :transactions t
            where t.status::text in ('PAID', 'SETTLED', 'PARTIALLY_REFUNDED') and tributary.metadata(t.metadata) ?& array['source', 'source_id']
                and t.product_id::text = of -> 'products' ->> e.key
        ) as found
    from expected, jsonb_each(coalesce(of -> 'paid', '{}')) e
)
select 'one enrollment for a person and a course' as point, '0' as expected, count(*)::text as found, count(*) = 0 as ok
from (select from :enrollments group by user_id, course_id having count(*) > 1) several
union all
select 'no access ends before it begins', '0', count(*)::text, count(*) = 0
from managed where expiry_date < start_date
union all
select 'active access stands for a payment that succeeded', '0', count(*)::text, count(*) = 0
from managed e
join :transactions t on t.id = e.transaction_id
where e.status::text = 'active' and e.completion_date is null and t.status::text not in ('PAID', 'SETTLED', 'PARTIALLY_REFUNDED')
union all
select 'access is not active a day after it ended', '0', count(*)::text, count(*) = 0
from managed where status::text = 'active' and completion_date is null and expiry_date < current_date - 2
union all
select 'successful payments of ' || product, least || ' to ' || most, found::text, found between least and most
from paid
