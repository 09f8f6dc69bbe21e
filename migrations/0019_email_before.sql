-- Batches beside a reconcile look up whether it found an address of their people changed.
create index email_before_email on tributary.email_before (email);
