-- The row store: every source row of every feed once, as its raw mapped values. Facts are derived from them when
-- they are needed, so that changed rules need no second reading of the source (SPEC §10).
--
-- The facts of older versions are replaced: a full reconcile is due, in this same transaction, on the same slot.

create table tributary.source_row (
    -- Number of the feed.
    feed smallint not null,
    -- The source key (SPEC §1).
    key text collate "C" not null,
    -- The person's e-mail key after aliases, or a text with a space for rows without a person.
    owner text collate "C" not null,
    -- The e-mail key before aliases, where it is not the owner.
    email_key text collate "C",
    -- contact_id of a contact, external_id of a payment.
    shared_id text collate "C",
    -- Set for rows whose shared_id other rows carry too. Contact: its rank among them (SPEC §4.4), in byte order.
    -- Payment: digest of what duplicates must agree in (SPEC §6, duplicate_external_id).
    member bytea,
    -- Of the raw values: tells an unchanged row.
    digest uuid not null,
    -- Digest of the transaction last written for a payment; NULL: not known, all zeros: there is none.
    outcome uuid,
    -- The backfill chunk that read the row; NULL: the stream.
    chunk bigint,
    -- The backfill that last saw the row in the source.
    generation bigint not null,
    -- False while a value that the stream left out can be had nowhere (P6).
    complete boolean not null default true,
    -- The raw mapped values, see src/store/raw.rs.
    raw bytea not null,
    primary key (feed, key)
) with (fillfactor = 70);
-- None of these columns changes with a usual update, so that updates stay within their page (HOT).
create index source_row_owner on tributary.source_row (owner);
create index source_row_shared on tributary.source_row (feed, shared_id) where shared_id is not null;
create index source_row_member on tributary.source_row (feed, shared_id, member, key) where member is not null;
create index source_row_sharer on tributary.source_row (feed, shared_id, owner, key) where member is not null;
create index source_row_incomplete on tributary.source_row (feed, key) where not complete;

-- Digests of what was last written for a person; NULL: not known.
alter table tributary.person
    add column profile_digest uuid,
    add column enrollments_digest uuid;
alter table tributary.person set (fillfactor = 80);

-- A second unit whose judgement closes the conflict, beside scope.
alter table tributary.conflict add column also text collate "C";
create index conflict_also on tributary.conflict (also) where status <> 'resolved' and also is not null;
drop index tributary.conflict_collision;
-- What was judged row by row is judged owner by owner: everything is judged anew by the reconcile.
update tributary.conflict set also = 'collision:' || (evidence ->> 'to'), scope = 'collision:' || (evidence ->> 'from')
    where kind in ('email_change_collision', 'email_change_split');

-- Owners whose rows the target refuses. They are left out of batches and tried again by themselves.
create table tributary.quarantine (
    owner text collate "C" primary key,
    attempts int not null default 1,
    next_attempt_at timestamptz not null,
    since timestamptz not null default now()
);
create index quarantine_due on tributary.quarantine (next_attempt_at);

-- Which feed a number is (SPEC §1). A number is never used again.
create table tributary.feed (
    number smallint primary key,
    name text collate "C" not null unique,
    kind text not null check (kind in ('contact', 'payment')),
    -- Names and kinds of the columns whose values are stored, in their order.
    columns jsonb
);

alter table tributary.backfill
    add column feed smallint,
    add column next_key text collate "C";

-- A reconcile is due where there was a backfill. What the source no longer has is not known without the old
-- rows, so that the keys of the old rows are kept, as rows that no chunk has seen.
insert into tributary.source_row (feed, key, owner, email_key, digest, generation, complete, raw)
select 1::smallint, source_key, owner,
    nullif(email_key, owner), '00000000-0000-0000-0000-000000000000'::uuid, 0, false, ''::bytea from tributary.contact
union all
select 2::smallint, source_key, owner,
    nullif(email_key, owner), '00000000-0000-0000-0000-000000000000'::uuid, 0, false, ''::bytea from tributary.payment;
drop table tributary.contact;
drop table tributary.payment;
update tributary.backfill set phase = 'rows', generation = generation + 1, filenode = null, next_block = 0,
    end_block = 0, next_owner = null, rows_done = 0, rows_estimated = 0, started_at = now(), finished_at = null;
