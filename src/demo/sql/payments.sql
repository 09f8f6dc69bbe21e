-- As contacts.sql, of payments.
select 'xendit', jsonb_build_array(
        array['customer_email', customer_email], array['customer_name', customer_name],
        array['status', status], array['amount', amount::text], array['currency', currency],
        array['description', left(description, 60)], array['paid_at', paid_at])
from xendit
where id::text = any($1)
