-- Open and dismissed conflicts by kind, those that need a review first.
select kind,
    count(*) filter (where status = 'open' and severity = 'review'),
    count(*) filter (where status = 'open' and severity <> 'review'),
    count(*) filter (where status = 'dismissed'),
    min(first_seen_at) filter (where status = 'open')
from tributary.conflict
where status <> 'resolved'
group by kind
having count(*) filter (where status = 'open') > 0
order by 2 desc, 3 desc, kind
