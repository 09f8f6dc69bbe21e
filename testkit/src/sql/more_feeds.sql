create table public.shopify_orders (
    id bigint primary key,
    name text,
    email text,
    phone text,
    financial_status text,
    currency text,
    total_price text,
    created_at timestamptz,
    updated_at timestamptz,
    processed_at timestamptz,
    cancelled_at timestamptz,
    test boolean,
    customer jsonb,
    line_items jsonb
);

create table public.stripe_charges (
    id text primary key,
    amount bigint,
    currency text,
    status text,
    refunded boolean,
    created bigint,
    receipt_email text,
    billing_details jsonb,
    description text,
    metadata jsonb
);

create table public.purchase_leads (
    id uuid primary key,
    email text,
    first_name text,
    last_name text,
    phone text,
    source_page text,
    created_at timestamptz
);

create table public.ebook_contacts (
    email text primary key,
    name text,
    created_at timestamptz
);
