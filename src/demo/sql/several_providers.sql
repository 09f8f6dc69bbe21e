-- The person with transactions of most providers, provider by provider.
select p.email, t.payment_provider, count(*), string_agg(distinct t.product_name, ', ' order by t.product_name),
    string_agg(distinct t.status, ', ' order by t.status)
from transactions t
join unified_profiles p on p.id = t.user_id
where t.user_id = (
    select user_id from transactions where user_id is not null
    group by user_id order by count(distinct payment_provider) desc, count(*), user_id limit 1)
group by p.email, t.payment_provider
order by t.payment_provider
