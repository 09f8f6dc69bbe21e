-- The backfill is finished: so is its entry, in the same commit. One row is refused for each open `rejected_row`.
with refused as (
    select count(*) as rows from tributary.conflict where kind = 'rejected_row' and status = 'open'
),
done as (
    -- A rebuild reads nothing: it counts the people that it recomputed.
    select case when b.rows_done > 0 then b.rows_done else (select count(*) from tributary.person) end as rows
    from tributary.backfill b
)
update tributary.operation_log l
set finished_at = clock_timestamp(), outcome = 'done', processed = done.rows,
    succeeded = greatest(done.rows - refused.rows, 0), failed = refused.rows, errors = '{}',
    detail = l.detail || jsonb_build_object('written', b.written)
from tributary.backfill b, refused, done
where l.operation in ('backfill', 'rebuild') and l.outcome is distinct from 'done'
    and (l.detail ->> 'scheduled_at')::timestamptz = b.started_at
returning l.id
