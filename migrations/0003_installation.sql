-- Whom this schema belongs to: one installation, which is one slot of one source database.
create table tributary.installation (
    only_row boolean primary key default true check (only_row),
    -- Names the installation to the source: the application_name of its walsender holds it.
    id uuid not null default gen_random_uuid(),
    -- Raised by every take-over. A writer of an older epoch commits nothing any more.
    epoch bigint not null default 0,
    -- System identifier and database that this schema was last written in: a copy is elsewhere.
    target text,
    -- It was found elsewhere than before, and has not yet gone on with its slot there.
    relocated boolean not null default false,
    slot text,
    source_system text,
    source_database text,
    -- The rules of the daemon that took over last.
    rules text,
    taken_over_at timestamptz
);
insert into tributary.installation (slot)
select (select slot from tributary.checkpoint order by updated_at desc limit 1);

-- Opens every writing transaction, on every connection: it holds back a take-over until the transaction ends,
-- and refuses one of a daemon that was superseded. The epoch is read after the lock is held.
create function tributary.fence(expected bigint) returns void
language plpgsql volatile as $$
begin
    perform pg_advisory_xact_lock_shared(8390884927074234211);
    if expected is distinct from (select i.epoch from tributary.installation i) then
        raise exception using errcode = 'TRB01',
            message = 'another daemon took over',
            hint = 'this one starts over as a standby';
    end if;
end
$$;
