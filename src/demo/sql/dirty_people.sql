-- People with a contact and a few payments whose rows were mended most: a raw address or name that is not
-- the profile's, and every note, counts.
with rows as (
    select owner, notes, raw ->> 'email' as email, 1 as contacts, 0 as payments
    from tributary.contact
    where owner = email_key
    union all
    select owner, notes, raw ->> 'customer_email', 0, 1
    from tributary.payment
    where owner = email_key
)
select owner
from rows
join unified_profiles p on p.email = owner
group by owner
having sum(contacts) between 1 and 2 and sum(payments) between 1 and 3
order by count(*) filter (where rows.email <> owner) * 3 + sum(jsonb_array_length(notes)) desc, owner
limit 3
