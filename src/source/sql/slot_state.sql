-- Later versions say why a slot was given up in a column of its own (16: conflicting, 17:
-- invalidation_reason); reading the row as JSON works on all.
select s.plugin::text,
       s.database::text,
       s.active_pid,
       s.restart_lsn::text,
       s.confirmed_flush_lsn::text,
       s.wal_status,
       s.wal_status is not distinct from 'lost'
           or coalesce((to_jsonb(s) ->> 'conflicting')::boolean, false)
           or to_jsonb(s) ->> 'invalidation_reason' is not null
  from pg_replication_slots s
 where s.slot_name = $1::text
