-- Transactions that may have written to these tables, or to what belongs to them, and are not over: a lock of writing is held
-- until the commit is visible, a prepared transaction's for as long as it is prepared. $1: the tables.
with recursive tree as (
    select to_regclass(t.name)::oid as oid from unnest($1::text[]) as t (name)
    union
    select i.inhrelid from tree t join pg_inherits i on i.inhparent = t.oid
)
select distinct l.virtualtransaction, l.pid
from pg_locks l
where l.locktype = 'relation'
    and l.granted
    and l.mode in ('RowExclusiveLock', 'ShareRowExclusiveLock', 'ExclusiveLock', 'AccessExclusiveLock')
    and l.database = (select d.oid from pg_database d where d.datname = current_database())
    and l.relation in (select t.oid from tree t)
    and l.pid is distinct from pg_backend_pid()
