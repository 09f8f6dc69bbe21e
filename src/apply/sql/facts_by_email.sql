-- How many facts each e-mail key has, less what the open source transaction already did, and how many
-- contacts.
select k.key,
    (select count(*) from tributary.contact c where c.email_key = k.key)
    + (select count(*) from tributary.payment p where p.email_key = k.key)
    - coalesce((select sum(d.facts) from tributary_open_facts d where d.email_key = k.key), 0)::bigint,
    (select count(*) from tributary.contact c where c.email_key = k.key)
from unnest($1::text[]) as k (key)
