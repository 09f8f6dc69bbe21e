-- The columns of a table, with the type that a value of each is cast to (numbers and times are rounded as the column
-- rounds them; a text too long must be refused, where a cast would cut it off), and what decides how a value is read.
select a.attname::text,
    format_type(a.atttypid, case
        when a.atttypid in ('varchar'::regtype, 'bpchar'::regtype, 'varchar[]'::regtype, 'bpchar[]'::regtype)
            then -1
        else a.atttypmod
    end),
    format_type(b.oid, null),
    b.typtype::text,
    b.typcategory::text,
    a.attnotnull or t.typnotnull,
    a.atthasdef or a.attidentity <> '',
    a.attgenerated <> '' or a.attidentity = 'a',
    case when b.oid in ('varchar'::regtype, 'bpchar'::regtype) and a.atttypmod > 4 then a.atttypmod - 4 end,
    array(select e.enumlabel::text from pg_enum e where e.enumtypid = b.oid order by e.enumsortorder),
    -- A trigger may fill what is missing.
    (a.attnotnull or t.typnotnull) and not exists (select from pg_trigger g
        where g.tgrelid = a.attrelid and not g.tgisinternal and g.tgtype & 3 = 3)
from pg_attribute a
join pg_type t on t.oid = a.atttypid
join pg_type b on b.oid = case when t.typtype = 'd' then t.typbasetype else t.oid end
where a.attrelid = to_regclass($1) and a.attnum > 0 and not a.attisdropped
order by a.attnum
