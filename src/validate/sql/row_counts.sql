-- Row counts: what is stored of the source beside what the target tables hold.
--
-- Each file of this pack is one query of a point, what is expected, what is found, and whether that is well. psql variables name
-- the tables; `tributary validate --sql` prints the pack with them, for psql or an SQL editor:
--   \set profiles public.unified_profiles
--   \set transactions public.transactions
--   \set enrollments public.enrollments
--   \set courses public.courses
--   \set expected '{"people": [1, 1000]}'
with expected as (
    select :'expected'::jsonb as of
),
managed as (
    select count(*) as rows from :transactions t where tributary.metadata(t.metadata) ?& array['source', 'source_id']
),
paid as (
    -- An outcome that is not known is compared by the next backfill; a deleted payment's transaction may be referenced.
    select count(*) filter (where r.outcome <> '00000000-0000-0000-0000-000000000000') as known,
        count(*) filter (where r.outcome is null)
            + (select count(*) from tributary.conflict where kind = 'delete_blocked' and status <> 'resolved') as unknown
    from tributary.source_row r
    join tributary.feed f on f.number = r.feed and f.kind = 'payment'
),
people as (
    -- Of those who are outside of the rollout nothing is written.
    select count(*) as persons, count(*) filter (where not o.outside) as inside,
        count(p.id) filter (where not o.outside) as profiles
    from tributary.person o
    left join :profiles p on p.id = o.profile_id
    where o.state = 'present'
),
counted (name, rows) as (
    select 'people', persons from people
    union all
    select 'transactions', count(*) from :transactions
    union all
    select 'enrollments', count(*) from :enrollments
)
select 'every person has a profile' as point, inside::text as expected, profiles::text as found,
    inside = profiles as ok
from people
union all
select 'every payment that gives one has a transaction',
    case when unknown = 0 then known::text else known || ' to ' || known + unknown end, rows::text,
    rows between known and known + unknown
from paid, managed
union all
select counted.name || ' are as many as expected', (of -> name ->> 0) || ' to ' || (of -> name ->> 1), rows::text,
    rows between (of -> name ->> 0)::bigint and (of -> name ->> 1)::bigint
from counted, expected
where of ? name
