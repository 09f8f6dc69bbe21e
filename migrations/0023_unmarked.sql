-- Rows that are not marked yet are found among those that share their value, however many those are.
drop index tributary.source_row_shared;
create index source_row_shared on tributary.source_row (feed, shared_id, (member is not null)) where shared_id is not null;
