-- Working tables of a large source transaction; they live as long as one target transaction. Each row as it was
-- before the transaction first touched it,
create temp table if not exists tributary_open_row (
    feed smallint not null,
    key text collate "C" not null,
    -- Whose it was; NULL: it was not there.
    owner_before text collate "C",
    -- The e-mail key of the row under this key; NULL: it had none.
    email_before text collate "C",
    -- The e-mail key of the row, whatever its key was then.
    old_email text collate "C",
    -- Whether its row goes on under another key.
    is_rekeyed boolean not null default false,
    -- Whether a row that was there before the transaction goes on under this key.
    is_carried boolean not null default false,
    -- How many such rows were deleted under this key before it got another one.
    lost int not null default 0,
    -- Whether a transaction of it was written; NULL: it was not noted, as that of somebody outside of a rollout.
    had_transaction boolean default false,
    primary key (feed, key)
) on commit delete rows;
create index if not exists tributary_open_row_email on tributary_open_row (email_before);
-- and whom and what the transaction touches.
create temp table if not exists tributary_open_owner (owner text collate "C" primary key) on commit delete rows;
create temp table if not exists tributary_open_shared (
    feed smallint not null,
    shared_id text collate "C" not null,
    primary key (feed, shared_id)
) on commit delete rows;
-- The addresses that contacts changed from and to: what is judged together has one number.
create temp table if not exists tributary_open_change (
    number bigint not null,
    old_key text collate "C" not null,
    new_key text collate "C" not null,
    -- The first contact that went this way.
    key text collate "C" not null
) on commit delete rows;
create index if not exists tributary_open_change_number on tributary_open_change (number);
