-- The e-mail keys that rows had before the reconcile under way. Its e-mail changes are judged as those of one transaction
-- (SPEC §4.3), once everything is read.
create table tributary.email_before (
    feed smallint not null,
    key text collate "C" not null,
    email text collate "C" not null,
    primary key (feed, key)
);
