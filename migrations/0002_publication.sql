-- Tells the publication as it was when the stream was last followed: a table that was taken out of it and put
-- back has changed without the stream.
alter table tributary.state add column publication text;
