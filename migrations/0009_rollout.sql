-- A rollout in steps: whose rows of the target tables are written.
alter table tributary.state
    -- Percent of the people who are in; 0 is a rehearsal.
    add column rollout smallint not null default 100 check (rollout between 0 and 100),
    -- It was narrowed, and until everybody is recomputed nobody stays in for having been in.
    add column narrowing boolean not null default false;
-- Whose rows are not written. A person once in stays in, whatever its address, until the rollout is narrowed.
alter table tributary.person add column outside boolean not null default false;
-- What is not written of those who are outside, by owner.
create table tributary.outside (
    owner text collate "C" primary key,
    profiles int not null,
    transactions int not null,
    enrollments int not null,
    -- Unique values of an owner who is in that a row of somebody outside holds.
    held int not null default 0
);
