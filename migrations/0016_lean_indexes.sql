-- Each index of a conflict is paid for with each conflict: the one by kind and age serves what this one did, and money is
-- at stake in what waits for a person, not in notes.
drop index tributary.conflict_open;
drop index tributary.conflict_open_amount;
create index conflict_open_amount on tributary.conflict (amount, id) where status = 'open' and severity = 'review';
