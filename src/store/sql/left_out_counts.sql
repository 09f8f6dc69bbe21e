-- By feed the rows that its configuration leaves out, and by which part of it: each word is a range of the index of owners.
select f.name, w.word, count(*)
from unnest(array['excluded', 'skipped']) as w (word)
join tributary.source_row r on r.owner > (w.word || ' ') collate "C" and r.owner < (w.word || '!') collate "C"
join tributary.feed f on f.number = r.feed
group by f.name, w.word
