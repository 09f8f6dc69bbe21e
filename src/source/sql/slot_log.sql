-- The log that is kept for a slot, and how much more may be written before it may be lost.
with now as (
    select case when pg_is_in_recovery() then pg_last_wal_replay_lsn() else pg_current_wal_lsn() end as lsn
)
select now.lsn::text,
       coalesce(greatest(pg_wal_lsn_diff(now.lsn, s.restart_lsn), 0), 0)::int8,
       s.safe_wal_size::int8,
       s.wal_status::text
  from pg_replication_slots s, now
 where s.slot_name = $1::text
