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

-- What the target server's clock showed when it was last noted, so that one that was set back is noticed (SPEC §5.4).
alter table tributary.state add column clock_at timestamptz;
