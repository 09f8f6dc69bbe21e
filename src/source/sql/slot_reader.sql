-- Who reads a slot now, and what was confirmed last.
select s.active_pid, a.application_name, s.confirmed_flush_lsn::text
from pg_replication_slots s
left join pg_stat_activity a on a.pid = s.active_pid
where s.slot_name = $1::text and s.active_pid is not null
