-- By feed the rows that its configuration leaves out, and by which part of it: each word is a range of the index of owners. The ranges are
-- constants, as whoever counts on any other session would have the whole table read for ranges that are not known.
select f.name, w.word, count(*)
from (
    select 'excluded' as word, r.feed
    from tributary.source_row r
    where r.owner > 'excluded ' collate "C" and r.owner < 'excluded!' collate "C"
    union all
    select 'skipped', r.feed
    from tributary.source_row r
    where r.owner > 'skipped ' collate "C" and r.owner < 'skipped!' collate "C"
) w
join tributary.feed f on f.number = w.feed
group by f.name, w.word
