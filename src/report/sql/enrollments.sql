-- Enrollments by product and status. $1, $2: ids and codes of the products.
select coalesce(p.code, 'other') as product,
    case when e.status::text in ('active', 'expired', 'revoked') then e.status::text else 'other' end
        as status,
    count(*)
from :enrollments e
left join unnest($1::text[], $2::text[]) as p (id, code) on p.id = e.course_id::text
group by 1, 2
order by 1, 3 desc, 2
