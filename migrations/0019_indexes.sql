-- Batches beside a reconcile look up whether it found an address of their people changed.
create index email_before_email on tributary.email_before (email);

-- A search for a part of a subject reads this index alone.
drop index tributary.conflict_open_age;
create index conflict_open_age on tributary.conflict (severity, first_seen_at, id) include (subject) where status = 'open';

-- The last stage of a backfill reads the conflicts in pages of this order. By the scope alone each page read all that come after it.
drop index tributary.conflict_scope;
create index conflict_scope on tributary.conflict (scope, fingerprint) where status <> 'resolved';
