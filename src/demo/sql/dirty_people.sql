-- People with a contact and a few payments about whom most was noted, with the keys of their rows.
select r.owner, array_agg(r.key)
from tributary.source_row r
join tributary.feed f on f.number = r.feed
join unified_profiles p on p.email = r.owner
where r.email_key is null
group by r.owner
having count(*) filter (where f.kind = 'contact') between 1 and 2
    and count(*) filter (where f.kind = 'payment') between 1 and 3
order by (select count(*) from tributary.conflict k where k.scope = 'owner:' || r.owner and k.status <> 'resolved') desc, r.owner
limit 3
