-- Open conflicts by kind, with the age of the oldest in hours.
select kind, severity, count(*), (extract(epoch from now() - min(first_seen_at)) / 3600)::float8
from tributary.conflict
where status = 'open'
group by kind, severity
order by severity desc, count(*) desc, kind
