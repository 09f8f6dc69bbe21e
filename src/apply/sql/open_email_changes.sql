-- A page of the contacts that the open source transaction gave another e-mail key.
select r.feed, r.key, o.old_email, coalesce(r.email_key, r.owner)
from tributary_open_row o
join tributary.source_row r on r.feed = o.feed and r.key = o.key
join tributary.feed f on f.number = r.feed and f.kind = 'contact'
where (o.feed, o.key) > ($1, $2) and o.old_email is not null and strpos(r.owner, ' ') = 0
    and o.old_email <> coalesce(r.email_key, r.owner)
order by o.feed, o.key
limit $3
