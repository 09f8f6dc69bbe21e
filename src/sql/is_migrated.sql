-- Whether the newest migration has been applied: it adds this column.
select exists (
    select
    from pg_attribute
    where attrelid = to_regclass('tributary.state') and attname = 'paused' and not attisdropped)
