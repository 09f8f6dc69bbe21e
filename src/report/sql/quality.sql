-- The scorecard: a measure, how many are good, of how many. $1: statuses of success.
with managed as (
    select t.* from :transactions t where tributary.metadata(t.metadata) ?& array['source', 'source_id']
),
paid as (
    select * from managed where status::text = any ($1)
),
people as (
    select p.*
    from tributary.person o
    join :profiles p on p.id = o.profile_id
    where o.state = 'present'
),
stored as (
    select count(*) as rows, count(*) filter (where f.kind = 'contact') as contacts
    from tributary.source_row r
    join tributary.feed f on f.number = r.feed
),
open as (
    select count(*) filter (where severity = 'review') as review,
        count(*) filter (where kind = 'unusable_email') as unusable,
        count(*) filter (where kind = 'possible_duplicate') as duplicates
    from tributary.conflict
    where status = 'open'
)
select 'rows_without_review', greatest(rows - review, 0), rows from stored, open
union all
select 'contacts_with_email', greatest(contacts - unusable, 0), contacts from stored, open
union all
select 'payments_with_person', count(user_id), count(*) from managed
union all
select 'payments_with_status', count(*) filter (where status::text is distinct from 'UNKNOWN'), count(*) from managed
union all
select 'paid_with_product', count(product_id), count(*) from paid
union all
select 'paid_with_date', count(paid_at), count(*) from paid
union all
select 'paid_with_amount', count(*) filter (where amount::numeric > 0), count(*) from paid
union all
select 'people_with_name', count(first_name), count(*) from people
union all
select 'people_with_phone', count(phone), count(*) from people
union all
select 'people_without_double', greatest((select count(*) from people) - duplicates, 0), (select count(*) from people)
from open
