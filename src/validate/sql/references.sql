-- References: every id that a row names is there, also where the tables have no foreign keys.
select 'the person of a transaction has a profile' as point, '0' as expected, count(*)::text as found, count(*) = 0 as ok
from :transactions t
where t.user_id is not null and not exists (select from :profiles p where p.id = t.user_id)
union all
select 'the person of an enrollment has a profile', '0', count(*)::text, count(*) = 0
from :enrollments e where not exists (select from :profiles p where p.id = e.user_id)
union all
select 'the course of an enrollment is there', '0', count(*)::text, count(*) = 0
from :enrollments e where not exists (select from :courses c where c.id = e.course_id)
union all
select 'the transaction of an enrollment is there', '0', count(*)::text, count(*) = 0
from :enrollments e
where e.transaction_id is not null and not exists (select from :transactions t where t.id = e.transaction_id)
union all
select 'the transaction of an enrollment is of the same person', '0', count(*)::text, count(*) = 0
from :enrollments e
join :transactions t on t.id = e.transaction_id
where tributary.metadata(e.metadata) ->> 'managed_by' = 'tributary' and t.user_id is distinct from e.user_id
