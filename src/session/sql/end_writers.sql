-- Ends what still writes for a daemon that was superseded: sessions of this daemon's name and role that hold the
-- writers' lock in this database. Nobody else takes that lock, and no other session is ended.
select count(pg_terminate_backend(l.pid))
from pg_locks l
join pg_stat_activity a using (pid)
where l.locktype = 'advisory' and l.granted and l.mode = 'ShareLock'
    and l.objsubid = 1 and ((l.classid::bigint << 32) | l.objid::bigint) = $1
    and l.database = (select oid from pg_database where datname = current_database())
    and a.usename = current_user
    and (a.application_name = 'tributary' or starts_with(a.application_name, 'tributary '))
    and l.pid <> pg_backend_pid()
