-- $1: the rules; $2: numbers of feeds; $3: those of which every delete waits for an operator. A reconcile that has still
-- to read joins them; one of everything that has not begun yet covers them.
insert into tributary.backfill (generation, phase, rules)
values (1, 'rows', $1)
on conflict (only_row) do update
set phase = 'rows', rules = excluded.rules, generation = backfill.generation + 1, feed = null, filenode = null,
    next_block = 0, end_block = 0, next_owner = null, rows_done = 0, rows_estimated = 0, started_at = now(),
    finished_at = null, written = '{}',
    feeds = case
        when backfill.phase not in ('rows', 'recheck', 'emails', 'sweep') then $2::smallint[]
        when backfill.feeds is null then null
        else array(select distinct f from unnest(backfill.feeds || $2::smallint[]) f order by f)
    end,
    truncated = case
        when backfill.phase not in ('rows', 'recheck', 'emails', 'sweep') then $3::smallint[]
        else backfill.truncated || $3::smallint[]
    end,
    left_out = case when backfill.left_out = '{}' then '{}' else backfill.left_out || '{"again": 1}' end
where not (backfill.phase = 'rows' and backfill.feeds is null and backfill.feed is null) or $3 <> '{}'
