-- The type to which a value of each column is cast. Numbers and times are rounded as the column rounds them,
-- or they would differ for ever; a text too long must be refused, where a cast would cut it off.
select attname::text,
    format_type(atttypid, case
        when atttypid in ('varchar'::regtype, 'bpchar'::regtype, 'varchar[]'::regtype, 'bpchar[]'::regtype)
            then -1
        else atttypmod
    end)
from pg_attribute
where attrelid = to_regclass($1) and attnum > 0 and not attisdropped
