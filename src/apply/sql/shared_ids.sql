-- A page of the values that several rows of a feed carry, after a value.
select feed, shared_id
from tributary.source_row
where (feed, shared_id) > ($1, $2) and shared_id is not null
group by feed, shared_id
having count(*) > 1
order by feed, shared_id
limit $3
