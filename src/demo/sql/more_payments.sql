-- As payments.sql, of the further feeds.
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
