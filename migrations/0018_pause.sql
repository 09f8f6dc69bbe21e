-- Who paused the stream; NULL: nobody. The daemon halts in front of it until it is resumed.
alter table tributary.state add column paused text;
