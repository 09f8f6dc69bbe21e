-- Which rows are changed together: a hundred of each table.
create table public.contact_batch as
select id, (row_number() over () - 1) / 100 as batch from public.systemeio;
create table public.payment_batch as
select id, (row_number() over () - 1) / 100 as batch from public.xendit;
create index on public.contact_batch (batch);
create index on public.payment_batch (batch);
analyze public.contact_batch, public.payment_batch;
