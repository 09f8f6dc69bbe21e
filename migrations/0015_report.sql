-- The report of a backfill or verification (SPEC §9), beside its entry in the log and no longer than that. No customer value
-- is in it (P14).

create table tributary.report (
    operation bigint primary key references tributary.operation_log (id) on delete cascade,
    -- The target tables before it, of an operation that writes.
    before jsonb,
    -- NULL: it is still to be made.
    report jsonb
);
create index report_pending on tributary.report (operation) where report is null;

-- Rows of the target tables that the backfill under way has written, over restarts.
alter table tributary.backfill add column written jsonb not null default '{}';
