-- Any number of feeds (SPEC §1): whether the ids of a feed are ids of the target, and the table that is published for
-- it. The two feeds that every installation had until now are known as what they are.
alter table tributary.feed
    add column is_primary boolean not null default false,
    add column published text;
insert into tributary.feed (number, name, kind)
select f.number, f.name, f.kind
from (values (1::smallint, 'systemeio', 'contact'), (2::smallint, 'xendit', 'payment')) as f (number, name, kind)
where exists (select from tributary.source_row r where r.feed = f.number)
on conflict do nothing;
update tributary.feed set is_primary = true where number in (1, 2);

-- Which feeds a reconcile reads, or takes out; NULL: all that are configured. And by number of a feed the rows that
-- gave facts before and give none under the rules of now, which wait for the guard (P9).
alter table tributary.backfill
    add column feeds smallint[],
    add column left_out jsonb not null default '{}';
