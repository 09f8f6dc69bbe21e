-- Payments whose transaction was the application's before (SPEC §5.2): it keeps its id, which is not the one that the source
-- row gives.
create table tributary.adopted_transaction (
    -- Number of the feed, and the source key.
    feed smallint not null,
    key text collate "C" not null,
    id uuid not null unique,
    at timestamptz not null default now(),
    primary key (feed, key)
);
