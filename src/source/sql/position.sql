-- How far the server is: the next transaction id that nobody has used, the timeline, what of the log is on disk and what
-- is written, and from where the log is kept for our slot. A standby reports what it has replayed.
select pg_snapshot_xmax(pg_current_snapshot())::text::bigint as next_xid,
       case when pg_is_in_recovery() then null
            else ('x' || lpad(substr(pg_walfile_name(pg_current_wal_flush_lsn()), 1, 8), 16, '0'))::bit(64)::bigint
       end as timeline,
       (case when pg_is_in_recovery() then pg_last_wal_replay_lsn() else pg_current_wal_flush_lsn() end)::text as flushed,
       (case when pg_is_in_recovery() then pg_last_wal_replay_lsn() else pg_current_wal_insert_lsn() end)::text as inserted,
       (select s.restart_lsn::text from pg_replication_slots s where s.slot_name = $1::text) as restart
