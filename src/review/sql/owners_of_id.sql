-- Persons who have a row with this key, contact id or external id.
select distinct r.owner
from tributary.feed f
join lateral (
    (select r.owner from tributary.source_row r where r.feed = f.number and r.key = $1)
    union all
    (select r.owner from tributary.source_row r where r.feed = f.number and r.shared_id = $1 limit 51)) r on true
where strpos(r.owner, ' ') = 0
limit 51
