-- The raw rows of a person, those that are told of in one line each.
select 'systemeio', jsonb_build_array(
        array['email', raw ->> 'email'], array['first_name', raw ->> 'first_name'],
        array['last_name', raw ->> 'last_name'], array['phone', raw ->> 'phone'],
        array['tags', raw ->> 'tags'])
from tributary.contact
where owner = $1
union all
select 'xendit', jsonb_build_array(
        array['customer_email', raw ->> 'customer_email'],
        array['customer_name', raw ->> 'customer_name'], array['status', raw ->> 'status'],
        array['amount', raw ->> 'amount'], array['currency', raw ->> 'currency'],
        array['description', left(raw ->> 'description', 60)], array['paid_at', raw ->> 'paid_at'])
from tributary.payment
where owner = $1
