-- Whether the newest migration has been applied: it makes this table.
select to_regclass('tributary.id_map') is not null
