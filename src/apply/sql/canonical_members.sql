-- A page of the persons who are not the first of their canonical key.
select p.email_key
from tributary.person p
where p.email_key > $1 and p.state = 'present' and exists (
    select from tributary.person o
    where o.canonical = p.canonical and o.state = 'present' and o.email_key < p.email_key)
order by p.email_key
limit $2
