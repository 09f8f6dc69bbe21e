-- Finances: amounts, currencies and dates of the transactions that payments gave, and their sums.
with expected as (
    select :'expected'::jsonb as of
),
managed as (
    -- Narrow, as it is kept for all that is asked of it.
    select t.amount, t.status::text as status, t.currency, t.payment_provider_fee, t.paid_at, t.created_at, t.fiscal_year,
        t.fiscal_quarter, (tributary.metadata(t.metadata) ->> 'source') || ':' || (tributary.metadata(t.metadata) ->> 'source_id') as source_row
    from :transactions t
    where tributary.metadata(t.metadata) ?& array['source', 'source_id']
),
successful as (
    select * from managed where status in ('PAID', 'SETTLED', 'PARTIALLY_REFUNDED')
),
totals as (
    select e.key as currency, (e.value ->> 0)::numeric as least, (e.value ->> 1)::numeric as most,
        (select coalesce(sum(s.amount), 0) from successful s where s.currency = e.key) as found
    from expected, jsonb_each(coalesce(of -> 'totals', '{}')) e
)
select 'no amount is missing or negative' as point, '0' as expected, count(*)::text as found, count(*) = 0 as ok
from managed where amount is null or amount < 0
union all
select 'no successful payment is for nothing', '0', coalesce(sum(payments), 0)::text, coalesce(sum(payments), 0) = 0
from (
    -- Grouped, not looked up one by one: as fast without statistics.
    select count(*) filter (where is_payment) as payments
    from (
        select source_row, true as is_payment from successful where amount = 0
        union all
        select subject, false from tributary.conflict where kind = 'invalid_amount' and status <> 'resolved'
    ) one
    group by source_row
    having bool_and(is_payment)
) for_nothing
union all
select 'no fee is negative', '0', count(*)::text, count(*) = 0
from managed where payment_provider_fee < 0
union all
select 'every currency is a code of three letters', '0', count(*)::text, count(*) = 0
from managed where currency is null or currency::text !~ '^[A-Z]{3}$'
union all
select 'every transaction with a date has its fiscal year and quarter', '0', count(*)::text, count(*) = 0
from managed where coalesce(paid_at, created_at) is not null and (fiscal_year is null or fiscal_quarter is null)
union all
select 'the sum of successful payments in ' || currency, least || ' to ' || most, found::text,
    found between least and most
from totals
