-- The transactions that a session waits for, without anything of what they do.
select coalesce(string_agg(coalesce(
    format('process %s (%s, %s, open for %s s)', a.pid,
        coalesce(nullif(a.application_name, ''), 'no application name'), a.usename,
        extract(epoch from now() - a.xact_start)::bigint),
    'a prepared transaction'), '; '), '')
from unnest(pg_blocking_pids($1)) as blocker (pid)
left join pg_stat_activity a on a.pid = blocker.pid
