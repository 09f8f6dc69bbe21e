-- What was done, by whom and with what outcome (SPEC §9), and the copies that were taken before a backfill. No customer
-- value is in either (P14).

create table tributary.operation_log (
    id bigint generated always as identity primary key,
    operation text not null,
    started_at timestamptz not null default clock_timestamp(),
    finished_at timestamptz,
    -- NULL: it is under way while a session holds its advisory lock, else it was interrupted.
    outcome text check (outcome in ('done', 'failed', 'refused', 'halted', 'stopped')),
    os_user text,
    database_user text not null default session_user,
    -- Who asked for it (`--by`), where somebody did.
    asked_by text,
    version text not null,
    config_hash text not null,
    processed bigint,
    succeeded bigint,
    failed bigint,
    errors text[] not null default '{}',
    detail jsonb not null default '{}'
);
create index operation_log_started on tributary.operation_log (started_at, id);
create index operation_log_unfinished on tributary.operation_log (operation) where outcome is null;

-- Who asked, beside the name that they gave.
alter table tributary.command
    add column os_user text,
    add column database_user text default session_user;

-- Copies of the target tables, each set in a schema of its own. One that was dropped stays as a record.
create table tributary.backup (
    run text primary key,
    at timestamptz not null default clock_timestamp(),
    schema_name text not null,
    -- What it was taken before.
    reason text not null,
    -- The backfill that it was taken before.
    generation bigint,
    -- Name, copy, columns, rows, bytes and checksum of each table, referenced ones first.
    tables jsonb not null,
    dropped_at timestamptz
);

-- Set while a backup is due before the backfill that is scheduled: before what. Cleared in the commit of the backup.
alter table tributary.state add column backup_due text;
update tributary.state set backup_due = 'first backfill'
    where not exists (select from tributary.backfill);

-- The copy that the target was brought back to. The daemon halts in front of it until a backfill is asked for.
alter table tributary.state add column rolled_back text;

-- Profiles that were the application's before a person took them: what the daemon itself inserted is everything else that
-- persons have.
create table tributary.adopted_profile (
    profile_id uuid primary key,
    at timestamptz not null default now()
);
