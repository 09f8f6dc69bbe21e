-- The newest runs, with the records that did not become rows as far as they are counted, and the backup before each.
select r.import, r.run, r.state, r.tables, r.summary,
    (select count(*) from (select from tributary.import_reject j
        where j.import = r.import and j.run = r.run limit $2) counted),
    r.updated_at,
    (select b.run from tributary.backup b
        where b.dropped_at is null and b.import ->> 'run' = r.run::text and b.import ->> 'name' = r.import
        order by b.at desc limit 1)
from tributary.import_run r
order by r.run desc
limit $1
