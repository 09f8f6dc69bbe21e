-- Everything of the daemon's own. Text that is compared, ordered or split into ranges has collation "C":
-- the order of the specification is byte order, and it must not change with the operating system.

-- One row a replication slot. Data and checkpoint commit together: lsn >= X means that everything the
-- source committed up to X is in the target.
create table tributary.checkpoint (
    slot text primary key,
    lsn pg_lsn not null,
    updated_at timestamptz not null default now()
);

-- One row: which rules the target was made with, and what is still to do.
create table tributary.state (
    only_row boolean primary key default true check (only_row),
    facts_hash text,
    people_hash text,
    -- Local date for which enrollments were last judged.
    expiry_judged_on date,
    -- Source LSN up to which changes may already be contained in backfilled rows.
    backfilled_until pg_lsn,
    -- The slot that is about to be made, so that a crash right after leaves no riddle.
    slot_intent text,
    -- What the daemon halted in front of (P9), and what an operator accepted.
    halted jsonb,
    accepted jsonb
);
insert into tributary.state default values;

-- One row while a backfill is under way; a finished one stays as a record with phase 'done'.
create table tributary.backfill (
    only_row boolean primary key default true check (only_row),
    generation bigint not null,
    phase text not null,
    -- The rules it began under.
    rules text,
    filenode text collate "C",
    next_block bigint not null default 0,
    end_block bigint not null default 0,
    next_owner text collate "C",
    rows_done bigint not null default 0,
    rows_estimated bigint not null default 0,
    started_at timestamptz not null default now(),
    finished_at timestamptz
);

-- The snapshot in which each backfill chunk was read: a streamed change that this snapshot already
-- contained is not applied again.
create table tributary.backfill_chunk (
    id bigint generated always as identity primary key,
    generation bigint not null,
    snapshot text not null
);

-- Facts: normalised source rows. row_* is what the row itself says, the column without the prefix is
-- what holds after decisions. owner is the person after aliases, or a text with a space for rows
-- without a person.
create table tributary.contact (
    source_key text collate "C" primary key,
    owner text collate "C" not null,
    row_email text collate "C",
    row_email_reason text,
    email_key text collate "C",
    contact_id text collate "C",
    first_name text,
    last_name text,
    phone text,
    tags text[] not null,
    tags_text text,
    created_at timestamptz,
    updated_at timestamptz,
    synced_at timestamptz,
    notes jsonb not null,
    raw jsonb not null,
    digest uuid not null,
    chunk bigint,
    generation bigint not null
);
create index contact_owner on tributary.contact (owner);
create index contact_email_key on tributary.contact (email_key);
create index contact_first_of_contact_id on tributary.contact
    (contact_id, updated_at desc nulls last, created_at desc nulls last, source_key)
    where contact_id is not null and email_key is not null;
create index contact_owners_of_contact_id on tributary.contact (contact_id, owner)
    where contact_id is not null and email_key is not null;

create table tributary.payment (
    source_key text collate "C" primary key,
    owner text collate "C" not null,
    person text collate "C" generated always as
        (case when strpos(owner, ' ') > 0 then '' else owner end) stored,
    row_email text collate "C",
    row_email_reason text,
    email_key text collate "C",
    external_id text collate "C",
    payment_id text collate "C",
    amount numeric,
    fee numeric,
    paid_amount numeric,
    currency text not null,
    status text not null,
    row_products text[] not null,
    products text[] not null,
    payment_method text,
    description text,
    failure_reason text,
    first_name text,
    last_name text,
    phone text,
    created_at timestamptz,
    updated_at timestamptz,
    paid_at timestamptz,
    settled_at timestamptz,
    synced_at timestamptz,
    -- Digest of amount, currency and product.
    identity uuid not null,
    metadata jsonb not null,
    notes jsonb not null,
    raw jsonb not null,
    digest uuid not null,
    chunk bigint,
    generation bigint not null
);
create index payment_owner on tributary.payment (owner);
create index payment_email_key on tributary.payment (email_key);
create index payment_person_of_external_id on tributary.payment (external_id, person, source_key)
    where external_id is not null;
create index payment_identity_of_external_id on tributary.payment (external_id, identity, source_key)
    where external_id is not null;
create index payment_payment_id_of_external_id on tributary.payment (external_id, payment_id, source_key)
    where external_id is not null and payment_id is not null;

-- Which profile belongs to which person. state: present, absent (no fact left), merged (facts belong to
-- another person by a decision), waiting (the profile needs an auth user that does not exist yet).
create table tributary.person (
    email_key text collate "C" primary key,
    profile_id uuid not null,
    canonical text collate "C" not null,
    state text not null check (state in ('present', 'absent', 'merged', 'waiting')),
    first_seen_at timestamptz not null default now(),
    constraint person_profile_id unique (profile_id) deferrable initially deferred
);
create index person_canonical on tributary.person (canonical, email_key) where state = 'present';
create index person_not_present on tributary.person (state) where state <> 'present';

-- E-mail keys of profiles that were there before, so that they are found however they spell the address.
create table tributary.profile_email (
    profile_id uuid primary key,
    email text not null,
    email_key text collate "C"
);
create index profile_email_key on tributary.profile_email (email_key);

-- Decisions of people and of the e-mail change rule: inputs like the source rows.
--   alias: a -> b        separate: a < b         email: source row a -> address b
--   product: source row a -> code b              dismiss: fingerprint a, evidence digest b
create table tributary.decision (
    id bigint generated by default as identity primary key,
    kind text not null check (kind in ('alias', 'separate', 'email', 'product', 'dismiss')),
    a text collate "C" not null,
    b text collate "C" not null,
    automatic boolean not null default false,
    actor text not null,
    note text,
    conflict_id bigint,
    -- alias: the profile that the person keeps, and what was before, for the way back.
    profile_id uuid,
    undo jsonb,
    created_at timestamptz not null default now(),
    reverted_at timestamptz,
    reverted_by text,
    reverted_note text
);
create unique index decision_active on tributary.decision (kind, a)
    where reverted_at is null and kind in ('alias', 'email', 'product', 'dismiss');
create unique index decision_active_separate on tributary.decision (a, b)
    where reverted_at is null and kind = 'separate';
create index decision_separate_b on tributary.decision (b)
    where reverted_at is null and kind = 'separate';
create index decision_alias_to on tributary.decision (b)
    where reverted_at is null and kind = 'alias';

-- Active aliases, each with the person it ends at. Derived from decision.
create table tributary.alias (
    from_key text collate "C" primary key,
    root_key text collate "C" not null
);
create index alias_root on tributary.alias (root_key);

create table tributary.conflict (
    id bigint generated always as identity primary key,
    kind text not null,
    severity text not null check (severity in ('review', 'info')),
    status text not null check (status in ('open', 'resolved', 'dismissed')),
    subject text not null,
    fingerprint uuid not null unique,
    scope text collate "C" not null,
    evidence jsonb not null,
    evidence_digest uuid not null,
    first_seen_at timestamptz not null default now(),
    last_seen_at timestamptz not null default now(),
    resolved_at timestamptz,
    resolved_by text,
    note text
);
create index conflict_scope on tributary.conflict (scope) where status <> 'resolved';
create index conflict_collision on tributary.conflict (fingerprint)
    where kind = 'email_change_collision' and status <> 'resolved';
create index conflict_open on tributary.conflict (kind, id) where status = 'open';

-- What operators ask of the daemon. The daemon answers in the row and notifies tributary_done.
create table tributary.command (
    id bigint generated always as identity primary key,
    request jsonb not null,
    actor text not null,
    created_at timestamptz not null default now(),
    finished_at timestamptz,
    ok boolean,
    answer jsonb
);
create index command_waiting on tributary.command (id) where finished_at is null;
