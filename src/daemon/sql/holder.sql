-- What the daemon that holds the lock has written: its checkpoint, a digest of how far its backfill is, whether that is under way,
-- whether it has halted in front of something. One that failed and goes on has not.
select (select lsn::text from tributary.checkpoint where slot = $1),
       (select md5(b::text) from tributary.backfill b),
       coalesce((select phase <> 'done' from tributary.backfill), false),
       coalesce((select halted is not null and not halted -> 'cause' ? 'failures' from tributary.state), false)
