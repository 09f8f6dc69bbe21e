-- Transactions by product, status, currency and month: dimension, key, currency, rows, successful ones, their sum.
-- $1, $2: ids and codes of the products; $3: known statuses; $4: successful ones; $5: the zone of months.
with counted as (
    select
        case when t.product_id is null then 'none' else coalesce(p.code, 'other') end as product,
        case when t.status::text = any ($3) then t.status::text else 'other' end as status,
        case when t.currency::text ~ '^[A-Z]{3}$' then t.currency::text else 'none' end as currency,
        coalesce(to_char(coalesce(t.paid_at::timestamptz, t.created_at::timestamptz) at time zone $5::text, 'YYYY-MM'),
            'no date') as month,
        t.status::text = any ($4) as successful,
        t.amount::numeric as amount
    from :transactions t
    left join unnest($1::text[], $2::text[]) as p (id, code) on p.id = t.product_id::text
)
select
    case when grouping(product) = 0 then 'product' when grouping(status) = 0 then 'status'
        when grouping(month) = 0 then 'month' else 'currency' end,
    coalesce(product, status, month, currency),
    currency,
    count(*),
    count(*) filter (where successful),
    sum(amount) filter (where successful)::text
from counted
group by grouping sets ((product, currency), (status, currency), (month, currency), (currency))
