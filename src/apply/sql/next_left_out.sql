-- A page of the owners of rows that the configuration leaves out, after one: each word is a range of the index.
select owner
from (
    select o.owner
    from unnest(array['excluded', 'skipped']) as w (word)
    cross join lateral (
        select r.owner
        from tributary.source_row r
        where r.owner > greatest($1 collate "C", (w.word || ' ') collate "C") and r.owner < (w.word || '!') collate "C"
        group by r.owner
        order by r.owner
        limit $2
    ) o
) o
order by owner
limit $2
