-- A payment that marks the end of a backlog: where it is in the target, everything before it is. The
-- position is below the commit, and above everything that was committed before.
insert into public.xendit (id, external_id, payment_id, status, amount, currency, customer_name,
                           customer_email, description, created, updated, paid_at)
select gen_random_uuid(), 'mark-' || mark, 'mark-' || mark, 'PAID', 999, 'PHP', 'Mark Santos',
       'mark.' || mark || '@example.com', 'Canva Ebook', '2025-06-30T04:00:00Z', '2025-06-30T04:00:00Z',
       '2025-06-30T04:00:00Z'
from (select gen_random_uuid()::text as mark) m
returning id, pg_current_wal_insert_lsn()::text
