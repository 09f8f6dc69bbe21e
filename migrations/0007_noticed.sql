-- What the stream does not tell (P18). Feeds of which a partition was truncated: whatever the reconcile would delete of
-- them waits for an operator (P9).
alter table tributary.backfill add column truncated smallint[] not null default '{}';

-- How far the source was known to be, durably, when the stream was last followed: a server that was restored to an older
-- state is behind that, or on another timeline.
alter table tributary.installation
    add column source_timeline bigint,
    add column source_flushed pg_lsn,
    add column source_next_xid bigint,
    add column slot_restart pg_lsn;
