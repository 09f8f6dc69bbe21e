-- Whether the column id of a table ($1) is unique by itself, as a foreign key needs it.
select exists (
    select from pg_index i
    join pg_attribute a on a.attrelid = i.indrelid and a.attnum = i.indkey[0]
    where i.indrelid = to_regclass($1) and i.indnkeyatts = 1 and a.attname = 'id'
        and i.indisunique and i.indisvalid and i.indimmediate and i.indpred is null)
