-- Batches beside a reconcile look up whether it found an address of their people changed.
create index email_before_email on tributary.email_before (email);

-- A search for a part of a subject reads this index alone.
drop index tributary.conflict_open_age;
create index conflict_open_age on tributary.conflict (severity, first_seen_at, id) include (subject) where status = 'open';
