-- The way back from an import.

-- Of a backup that was taken before an import: its name, its run, and the columns that it writes of each table.
alter table tributary.backup add column import jsonb;

-- A run whose rows were taken back.
alter table tributary.import_run drop constraint import_run_state_check;
alter table tributary.import_run add constraint import_run_state_check
    check (state in ('running', 'finished', 'superseded', 'rolled_back'));
