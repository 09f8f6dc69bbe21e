-- As before.sql, of all six feeds.
select 'systemeio', jsonb_build_array(
        array['email', email], array['first_name', first_name], array['last_name', last_name],
        array['phone', phone], array['tags', tags])
from systemeio
where id::text = any($1)
union all
select 'purchase_leads', jsonb_build_array(array['email', email], array['first_name', first_name], array['source_page', source_page])
from purchase_leads
where id::text = any($1)
union all
select 'ebook_contacts', jsonb_build_array(array['email', email], array['name', name])
from ebook_contacts
where email = any($1)
union all
select 'xendit', jsonb_build_array(
        array['customer_email', customer_email], array['customer_name', customer_name],
        array['status', status], array['amount', amount::text], array['currency', currency],
        array['description', left(description, 60)], array['paid_at', paid_at])
from xendit
where id::text = any($1)
union all
select 'shopify_orders', jsonb_build_array(
        array['email', email], array['customer', customer::text], array['financial_status', financial_status],
        array['total_price', total_price], array['line_items', line_items::text])
from shopify_orders
where id::text = any($1)
union all
select 'stripe_charges', jsonb_build_array(
        array['receipt_email', receipt_email], array['billing_details', billing_details::text], array['amount', amount::text],
        array['currency', currency], array['description', description], array['refunded', refunded::text])
from stripe_charges
where id = any($1)
