-- What one would write by hand from PostgreSQL's own parts: one job that joins the two tables by a lowered
-- e-mail and upserts the outcome. It knows no invalid address, no dirty timestamp, no phone number, no
-- duplicate, no conflict, no enrollment and no delete; and it runs where the source tables are.
create schema if not exists plain;

create table if not exists plain.profiles (
    id uuid primary key default gen_random_uuid(),
    email text unique not null,
    first_name text,
    last_name text,
    phone text,
    tags text[],
    cohort_date date
);

create table if not exists plain.transactions (
    id uuid primary key,
    user_id uuid references plain.profiles,
    amount numeric,
    currency text,
    status text,
    description text,
    product text,
    metadata jsonb
);

insert into plain.profiles (email, first_name, last_name, phone, tags)
select distinct on (lower(trim(email)))
       lower(trim(email)), initcap(first_name), initcap(last_name), phone, string_to_array(tags, ',')
from public.systemeio
where email like '%@%'
order by lower(trim(email)), updated_at desc nulls last
on conflict (email) do update
set first_name = excluded.first_name, last_name = excluded.last_name, phone = excluded.phone,
    tags = excluded.tags;

insert into plain.profiles (email, first_name)
select distinct on (lower(trim(customer_email))) lower(trim(customer_email)), customer_name
from public.xendit
where customer_email like '%@%'
order by lower(trim(customer_email))
on conflict (email) do nothing;

insert into plain.transactions (id, user_id, amount, currency, status, description, product, metadata)
select x.id, p.id, x.amount, x.currency, upper(x.status), x.description,
       case when x.description ~* 'papers to profits?|p2p' then 'p2p'
            when x.description ~* 'canva' then 'canva' end,
       to_jsonb(x)
from public.xendit x
left join plain.profiles p on p.email = lower(trim(x.customer_email))
on conflict (id) do update
set user_id = excluded.user_id, amount = excluded.amount, currency = excluded.currency,
    status = excluded.status, description = excluded.description, product = excluded.product,
    metadata = excluded.metadata;

update plain.profiles p
set cohort_date = f.day
from (
    select user_id, min(left(metadata ->> 'created', 10)) filter (
        where metadata ->> 'created' ~ '^\d{4}-\d\d-\d\dT')::date as day
    from plain.transactions
    where status in ('PAID', 'SETTLED')
    group by user_id
) f
where f.user_id = p.id and p.cohort_date is distinct from f.day;
