-- Whether the target was brought back to backup $1 and left alone since, and a column of its tables ($2, $3) is not there.
select exists (select from tributary.state where rolled_back = $1)
    and exists (
        select from unnest($2::text[], $3::text[]) as c (tbl, name)
        where not exists (
            select from pg_attribute a
            where a.attrelid = to_regclass(c.tbl) and a.attname = c.name and not a.attisdropped))
