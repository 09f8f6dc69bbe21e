-- The raw rows with these keys, those that are told of in one line each: contacts, then payments.
select 'systemeio', jsonb_build_array(
        array['email', email], array['first_name', first_name], array['last_name', last_name],
        array['phone', phone], array['tags', tags])
from systemeio
where id::text = any($1)
union all
select 'xendit', jsonb_build_array(
        array['customer_email', customer_email], array['customer_name', customer_name],
        array['status', status], array['amount', amount::text], array['currency', currency],
        array['description', left(description, 60)], array['paid_at', paid_at])
from xendit
where id::text = any($1)
