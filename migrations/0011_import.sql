-- Imports of exports into tables of the target. These tables stand alone: an import may run where no daemon ever ran.

-- Which row an old id became. `record` is the number of the record that last brought it in `run`: a second record with
-- the same id in one run is a duplicate. `record` is updated by each run and in no index, so the update is HOT.
create table if not exists tributary.id_map (
    import text not null,
    table_name text not null,
    old_id text not null,
    new_id text not null,
    run bigint not null,
    record bigint not null,
    primary key (import, table_name, old_id)
) with (fillfactor = 80);

-- One row a run. `load` and `record` are the cursor, committed with each batch.
create table if not exists tributary.import_run (
    run bigint generated always as identity primary key,
    import text not null,
    fingerprint uuid not null,
    state text not null default 'running' check (state in ('running', 'finished', 'superseded')),
    tables text[] not null,
    load int not null default 0,
    record bigint not null default 0,
    summary jsonb not null default '{}',
    started_at timestamptz not null default now(),
    updated_at timestamptz not null default now(),
    finished_at timestamptz
);
create index if not exists import_run_of on tributary.import_run (import, run);

-- Records that did not become rows, with the reason. `text` is the record itself, until it stands in the file of
-- rejected records.
create table if not exists tributary.import_reject (
    import text not null,
    run bigint not null,
    load text not null,
    record bigint not null,
    element int not null,
    outcome text not null,
    key text not null,
    field text,
    reason text not null,
    other_key text,
    other_record bigint,
    text text,
    primary key (import, run, load, record, element)
);
