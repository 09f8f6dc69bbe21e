-- What is known of each address, for people to compare: {profiles}, {transactions}, {enrollments} and {courses} are the
-- configured tables.
select k.key,
    coalesce(a.root_key, k.key),
    n.state,
    n.profile_id::text,
    nullif(concat_ws(' ', p.first_name, p.last_name), ''),
    p.phone,
    p.created_at::timestamptz::text,
    (select count(*) from tributary.source_row r
        join tributary.feed f on f.number = r.feed and f.kind = 'contact' where r.owner = k.key),
    (select count(*) from tributary.source_row r
        join tributary.feed f on f.number = r.feed and f.kind = 'payment' where r.owner = k.key),
    (select string_agg(s.currency || ' ' || s.total, ', ' order by s.currency)
        from (
            select t.currency::text as currency, sum(t.amount)::text as total
            from {transactions} t
            where t.user_id = n.profile_id and t.status::text in ('PAID', 'SETTLED', 'PARTIALLY_REFUNDED')
            group by t.currency
        ) s),
    (select string_agg(coalesce(c.slug, c.title) || ' ' || coalesce(e.status::text, ''), ', ' order by c.slug)
        from {enrollments} e
        join {courses} c on c.id = e.course_id
        where e.user_id = n.profile_id)
from unnest($1::text[]) with ordinality as k (key, nth)
left join tributary.alias a on a.from_key = k.key
left join tributary.person n on n.email_key = k.key
left join {profiles} p on p.id = n.profile_id
order by k.nth
