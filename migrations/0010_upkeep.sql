-- The last verification beside the stream: what it found, and when the next one is due, survive a restart.
alter table tributary.state add column verification jsonb;

-- What is closed is looked for by its age (SPEC §10).
create index conflict_resolved on tributary.conflict (resolved_at) where status = 'resolved';
create index command_finished on tributary.command (finished_at) where finished_at is not null;
