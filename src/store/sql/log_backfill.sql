-- The entry of the backfill under way: that of an interrupted attempt at it, else a new one.
with at as (
    select generation, started_at, phase, feeds from tributary.backfill
),
again as (
    update tributary.operation_log l
    set outcome = null, finished_at = null,
        detail = l.detail || jsonb_build_object('attempts', coalesce((l.detail ->> 'attempts')::int, 1) + 1)
    from at
    where l.id = (select max(o.id) from tributary.operation_log o, at
            where o.operation in ('backfill', 'rebuild') and o.outcome is distinct from 'done'
                and (o.detail ->> 'scheduled_at')::timestamptz = at.started_at)
        and set_config('synchronous_commit', 'on', true) is not null
    returning l.id
),
new as (
    insert into tributary.operation_log (operation, os_user, asked_by, version, config_hash, detail)
    select case when at.phase = 'place' and at.feeds is null then 'rebuild' else 'backfill' end, $1, $2, $3, $4,
        jsonb_build_object('generation', at.generation, 'scheduled_at', at.started_at, 'attempts', 1,
            'first', (select s.facts_hash is null from tributary.state s))
    from at
    where not exists (select from again)
    returning id, operation
),
report as (
    -- Its report is due with it.
    insert into tributary.report (operation) select id from new where operation = 'backfill'
)
select id from again union all select id from new
