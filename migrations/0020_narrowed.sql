-- Whether a rollout was ever narrowed: payments without a person that went while they were outside may have left their transactions.
alter table tributary.state add column narrowed boolean not null default false;

update tributary.state set narrowed = narrowing or rollout < 100;
