-- Rows of the further feeds, about the people of the first two and a few of their own. $seed and the keys decide.
create function pg_temp.roll(what text) returns int language sql immutable as
    $$ select ('x' || left(md5('$seed ' || what), 6))::bit(24)::int % 100 $$;
create function pg_temp.product(what text) returns text language sql immutable as
    $$ select (array['Papers to Profits', 'Canva Ebook', 'P2P', 'A mug'])[1 + pg_temp.roll(what || 'product') % 4] $$;

create temporary table buyer as
select row_number() over (order by id) as n, id::text as id, customer_email as email, customer_name as name
from public.xendit where customer_email is not null;

-- Two of ten buy in the shop as well; one order of twenty is a test, some are cancelled, some customers are inside of JSON only.
insert into public.shopify_orders
select n, '#' || 1000 + n, case when pg_temp.roll(id || 'json') < 60 then email end, null,
    (array['paid', 'paid', 'paid', 'pending', 'partially_refunded', 'refunded'])[1 + pg_temp.roll(id || 'status') % 6],
    'PHP', (499 + pg_temp.roll(id || 'price'))::text, at, at, at,
    case when pg_temp.roll(id || 'cancelled') < 4 then at + interval '1 hour' end, pg_temp.roll(id || 'test') < 5,
    case when pg_temp.roll(id || 'json') >= 5 then jsonb_build_object('email', email, 'first_name', split_part(coalesce(name, ''), ' ', 1)) end,
    case when pg_temp.roll(id || 'items') < 6 then jsonb_build_array(jsonb_build_object('title', 'Papers to Profits'),
            jsonb_build_object('title', 'Canva Ebook'))
        else jsonb_build_array(jsonb_build_object('title', pg_temp.product(id))) end
from buyer
cross join lateral (select timestamptz '2025-01-01' + pg_temp.roll(id || 'day') * interval '1 day' as at) a
where pg_temp.roll(id || 'shop') < 20;

-- Three of twenty pay by card, in centavos.
insert into public.stripe_charges
select 'ch_' || n, 49900 + 100 * pg_temp.roll(id || 'price'), (array['php', 'php', 'php', 'usd', 'jpy'])[1 + pg_temp.roll(id || 'currency') % 5],
    (array['succeeded', 'succeeded', 'succeeded', 'failed'])[1 + pg_temp.roll(id || 'charge') % 4], pg_temp.roll(id || 'refund') < 5,
    1735700000 + 86400 * pg_temp.roll(id || 'at'), case when pg_temp.roll(id || 'receipt') < 50 then email end,
    jsonb_build_object('email', email, 'name', name), pg_temp.product(id || 'charge'), '{}'
from buyer where pg_temp.roll(id || 'card') < 15;

insert into public.purchase_leads
select md5('$seed' || id)::uuid, email, split_part(coalesce(name, ''), ' ', 1), null, null, '/p2p',
    timestamptz '2024-12-01' + pg_temp.roll(id || 'lead') * interval '1 hour'
from buyer where pg_temp.roll(id || 'leads') < 15;

insert into public.ebook_contacts
select distinct on (email) email, name, timestamptz '2024-11-01' + pg_temp.roll(id || 'read') * interval '1 hour'
from buyer where pg_temp.roll(id || 'reads') < 15 order by email, n;
-- Readers who bought nothing, and the team's own tries.
insert into public.ebook_contacts
select 'reader' || n || case when n % 2 = 0 then '@example.com' else '@example.ph' end, 'Reader ' || chr(64 + n), timestamptz '2025-02-01Z'
from generate_series(1, 20) n
union all select 'qa+' || n || '@example.com', 'Quality Assurance', timestamptz '2025-02-01Z' from generate_series(1, 3) n
on conflict do nothing;

drop table buyer;
analyze public.shopify_orders, public.stripe_charges, public.purchase_leads, public.ebook_contacts;
