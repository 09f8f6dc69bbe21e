-- People with a contact and a few payments whose rows were mended most: a raw address or name that is not
-- the profile's, an odd phone, and every note count.
with rows as (
    select owner, notes, raw ->> 'email' as email,
           raw ->> 'first_name' as name, raw ->> 'phone' as phone, 1 as contacts, 0 as payments
    from tributary.contact
    where owner = email_key
    union all
    select owner, notes, raw ->> 'customer_email', raw ->> 'customer_name', null, 0, 1
    from tributary.payment
    where owner = email_key
)
select owner
from rows
join unified_profiles p on p.email = owner
group by owner
having sum(contacts) between 1 and 2 and sum(payments) between 1 and 3
order by count(*) filter (where rows.email <> owner) * 3
         + count(*) filter (where rows.name !~ '^[A-Z][a-z]' or strpos(rows.name, p.first_name) <> 1) * 2
         + count(*) filter (where rows.phone <> p.phone)
         + sum(jsonb_array_length(notes)) desc, owner
limit 3
