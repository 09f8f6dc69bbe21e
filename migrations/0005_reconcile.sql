-- The e-mail keys that rows had before the reconcile under way. Its e-mail changes are judged as those of one transaction
-- (SPEC §4.3), once everything is read.
create table tributary.email_before (
    feed smallint not null,
    key text collate "C" not null,
    email text collate "C" not null,
    primary key (feed, key)
);

-- Stored values name their columns from here on. Those of older versions cannot be read: a full reconcile is due.
update tributary.backfill set phase = 'rows', generation = generation + 1, feed = null, filenode = null, next_block = 0,
    end_block = 0, next_owner = null, rows_done = 0, rows_estimated = 0, started_at = now(), finished_at = null;
