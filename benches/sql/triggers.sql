-- Beside the replicated tables: simplified profiles, transactions and enrollments, filled by row triggers
-- as the apply worker writes. What makes them fast: at most one statement a table and row, each by a unique
-- index; none where nothing changes; an update that touches no index stays on its page (HOT); foreign keys
-- are not checked, since the apply worker is a replica.
--
-- Names are qualified, since the apply worker has no search_path.
--
-- They know the usual e-mail, the statuses, two products and the access period. They know no damaged
-- address, phone or timestamp, no mojibake, no duplicate payment, no moved person, no conflict.

create table public.unified_profiles (
    id uuid primary key default gen_random_uuid(),
    email text not null unique,
    first_name text,
    last_name text,
    phone text,
    tags text[],
    acquisition_source text,
    payment_source text,
    cohort_date date,
    systemeio_id text,
    created_at timestamptz,
    updated_at timestamptz default now(),
    last_active_at timestamptz
) with (fillfactor = 80);

create table public.courses (
    id uuid primary key default gen_random_uuid(),
    title text not null,
    slug text unique
);
insert into public.courses (id, title, slug)
values ('c0000000-0000-4000-8000-000000000001', 'Papers to Profits', 'p2p');

create table public.transactions (
    id uuid primary key,
    user_id uuid references public.unified_profiles,
    amount numeric not null,
    currency text,
    status text,
    payment_method text,
    payment_provider text,
    payment_provider_id text,
    payment_provider_fee numeric,
    description text,
    product_name text,
    created_at timestamptz,
    paid_at timestamptz
) with (fillfactor = 80);
create index on public.transactions (user_id);

create table public.enrollments (
    id uuid primary key default gen_random_uuid(),
    user_id uuid not null references public.unified_profiles,
    course_id uuid not null references public.courses,
    transaction_id uuid references public.transactions,
    status text,
    start_date date,
    expiry_date date,
    cohort_month text,
    unique (user_id, course_id)
) with (fillfactor = 80);

create function public.email_key(email text) returns text
language sql immutable parallel safe
return case when email ~ '^\s*[^@\s]+@[^@\s]+\.[^@\s]+\s*$' then lower(btrim(email)) end;

create function public.instant(text text) returns timestamptz
language sql stable parallel safe
return case when text like '20__-__-__T__:__:__%Z' then text::timestamptz end;

create function public.contact_changed() returns trigger language plpgsql as $$
declare
    key text;
begin
    -- A profile stays when its contact goes.
    if tg_op = 'DELETE' then
        return null;
    end if;
    key := public.email_key(new.email);
    if key is null then
        return null;
    end if;
    insert into public.unified_profiles as p (email, first_name, last_name, phone, tags, acquisition_source,
                                       systemeio_id, created_at, last_active_at)
    values (key, initcap(new.first_name), initcap(new.last_name), new.phone,
            string_to_array(new.tags, ','), 'systemeio', new.contact_id, new.created_at, new.updated_at)
    on conflict (email) do update
    set first_name = coalesce(excluded.first_name, p.first_name),
        last_name = coalesce(excluded.last_name, p.last_name),
        phone = coalesce(excluded.phone, p.phone),
        tags = excluded.tags,
        acquisition_source = 'systemeio',
        systemeio_id = coalesce(excluded.systemeio_id, p.systemeio_id),
        created_at = least(excluded.created_at, p.created_at),
        last_active_at = greatest(excluded.last_active_at, p.last_active_at),
        updated_at = now();
    return null;
end
$$;

create function public.payment_changed() returns trigger language plpgsql as $$
declare
    key text;
    person uuid;
    cohort date;
    word text := upper(btrim(new.status));
    success boolean := word in ('PAID', 'SETTLED', 'SUCCEEDED');
    created timestamptz;
    paid timestamptz;
    paid_on date;
    words text;
    product text;
begin
    if tg_op = 'DELETE'
       or tg_op = 'UPDATE' and (new.id, new.customer_email) is distinct from (old.id, old.customer_email)
    then
        delete from public.transactions where id = old.id returning user_id into person;
        delete from public.enrollments where user_id = person and transaction_id = old.id;
        person := null;
        if tg_op = 'DELETE' then
            return null;
        end if;
    end if;
    if new.amount is null or new.amount = 'NaN' then
        return null;
    end if;

    -- Most updates say nothing new about the person.
    if tg_op = 'UPDATE'
       and (new.id, new.customer_email, new.status, new.description, new.created, new.paid_at)
           is not distinct from
           (old.id, old.customer_email, old.status, old.description, old.created, old.paid_at)
    then
        update public.transactions
        set amount = new.amount, currency = upper(new.currency),
            payment_method = upper(new.payment_method),
            payment_provider_id = coalesce(new.payment_id, new.external_id),
            payment_provider_fee = new.fees
        where id = new.id;
        if found then
            return null;
        end if;
    end if;

    created := public.instant(new.created);
    paid := public.instant(new.paid_at);
    if success then
        paid := coalesce(paid, created);
        paid_on := (paid at time zone 'Asia/Manila')::date;
    end if;
    words := lower(new.description);
    product := case when words like '%papers_to_profit%' or words like '%p2p%' then 'p2p'
                    when words like '%canva%' then 'canva' end;

    key := public.email_key(new.customer_email);
    if key is not null then
        select id, cohort_date into person, cohort from public.unified_profiles where email = key;
        if not found then
            insert into public.unified_profiles (email, first_name, last_name, acquisition_source,
                                                 payment_source, cohort_date, created_at)
            values (key, split_part(new.customer_name, ' ', 1),
                    nullif(regexp_replace(new.customer_name, '^\S+\s*', ''), ''), 'xendit',
                    case when success then 'xendit' end, paid_on, created)
            returning id into person;
        elsif paid_on < cohort or cohort is null and paid_on is not null then
            update public.unified_profiles
            set cohort_date = paid_on, payment_source = 'xendit', updated_at = now()
            where id = person;
        end if;
    end if;

    insert into public.transactions (id, user_id, amount, currency, status, payment_method,
                                     payment_provider, payment_provider_id, payment_provider_fee,
                                     description, product_name, created_at, paid_at)
    values (new.id, person, new.amount, upper(new.currency), word, upper(new.payment_method), 'xendit',
            coalesce(new.payment_id, new.external_id), new.fees, new.description, product,
            created, paid)
    on conflict (id) do nothing;
    if not found then
        update public.transactions
        set user_id = person, amount = new.amount, currency = upper(new.currency), status = word,
            payment_method = upper(new.payment_method),
            payment_provider_id = coalesce(new.payment_id, new.external_id),
            payment_provider_fee = new.fees, description = new.description, product_name = product,
            created_at = created, paid_at = paid
        where id = new.id;
    end if;

    if product = 'p2p' and person is not null and paid_on is not null then
        insert into public.enrollments as e (user_id, course_id, transaction_id, status, start_date,
                                             expiry_date, cohort_month)
        values (person, 'c0000000-0000-4000-8000-000000000001', new.id,
                case when paid_on + 365 < current_date then 'expired' else 'active' end,
                paid_on, paid_on + 365, to_char(paid_on, 'YYYY-MM'))
        on conflict (user_id, course_id) do update
        set transaction_id = excluded.transaction_id, status = excluded.status,
            start_date = excluded.start_date, expiry_date = excluded.expiry_date,
            cohort_month = excluded.cohort_month
        where excluded.start_date > e.expiry_date
           or e.transaction_id = excluded.transaction_id
              and (e.start_date, e.status) is distinct from (excluded.start_date, excluded.status);
    elsif tg_op = 'UPDATE' then
        update public.enrollments set status = 'revoked'
        where user_id = person and transaction_id = new.id;
    end if;
    return null;
end
$$;

create trigger contact_changed after insert or update or delete on public.systemeio
for each row execute function public.contact_changed();
create trigger payment_changed after insert or update or delete on public.xendit
for each row execute function public.payment_changed();
-- The apply worker is a replica, for which ordinary triggers do not fire.
alter table public.systemeio enable always trigger contact_changed;
alter table public.xendit enable always trigger payment_changed;
