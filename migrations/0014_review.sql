-- What the operators' page looks for: conflicts by money, kind, feed and age, and people by what they are called.

-- The money that a conflict is about: successful payments of the rows or people concerned. Written with the conflict;
-- 0 where nothing is known, and for notes. A number to sort by, not an account: currencies are added up as they are.
alter table tributary.conflict
    add column amount numeric not null default 0,
    add column feed text collate "C" generated always as (
        nullif(split_part(coalesce(evidence ->> 'source_row', evidence #>> '{sides,0,source_row}', ''), ':', 1), '')
    ) stored;

-- Each order of the queue under each filter that selects little. Pages begin after the last row of the page before.
create index conflict_open_age on tributary.conflict (severity, first_seen_at, id) where status = 'open';
create index conflict_open_amount on tributary.conflict (severity, amount, id) where status = 'open';
create index conflict_open_kind_age on tributary.conflict (kind, first_seen_at, id) include (severity)
    where status = 'open';
create index conflict_open_feed on tributary.conflict (feed, first_seen_at, id) where status = 'open' and feed is not null;

-- What persons are looked for by. Written in the transaction that writes the person, where a value differs. Names are
-- in lower case. `paid` is the sum of the successful payments.
create table tributary.person_search (
    email_key text collate "C" primary key,
    name text collate "C",
    last_name text collate "C",
    phone text collate "C",
    paid numeric not null default 0
) with (fillfactor = 80);
create index person_search_name on tributary.person_search (name) where name is not null;
create index person_search_last_name on tributary.person_search (last_name) where last_name is not null;
create index person_search_phone on tributary.person_search (phone) where phone is not null;

-- Both are filled by recomputing everybody, once, beside the stream; a backfill that is under way ends with that.
insert into tributary.command (request, actor)
select '{"request": {"do": "rebuild"}, "note": null, "conflict": null}', 'tributary'
where exists (select from tributary.backfill b where b.phase = 'done')
    and not exists (
        select from tributary.command c where c.finished_at is null and c.request -> 'request' ->> 'do' = 'rebuild');
