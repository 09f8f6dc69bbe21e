-- Persons who are not alone with their canonical key.
select p.email_key
from tributary.person p
where p.state = 'present' and exists (
    select from tributary.person o
    where o.canonical = p.canonical and o.state = 'present' and o.email_key < p.email_key)
