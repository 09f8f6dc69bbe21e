-- Whether the newest migration has been applied: it makes this table.
select to_regclass('tributary.added') is not null
