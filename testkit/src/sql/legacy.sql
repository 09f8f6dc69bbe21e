create table public.xendit (
    "External ID" text primary key,
    "Invoice ID" text,
    "Status" text,
    "Description" text,
    "Email" text,
    "Customer Email" text,
    "Customer Name" text,
    "Customer Mobile Number" text,
    "Amount" bigint,
    "Currency" text,
    "Fee" text,
    "Received Amount" text,
    "Payment Method" text,
    "Bank Name" text,
    "Timezone" text,
    "Created Timestamp" text,
    "Paid Timestamp" text,
    "Settled Timestamp" text,
    "Expiry Date" text
);

create table public.systemeio (
    "Email" text,
    "First name" text,
    "Last name" text,
    "Tag" text,
    "Date Registered" timestamptz,
    primary key ("Email", "Date Registered")
);
