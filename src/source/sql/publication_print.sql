-- Differs once the publication, or its entry of one of our tables or of a schema, was altered or made anew.
select concat_ws(' ', p.oid, p.xmin, (
    select string_agg(concat_ws('/', r.oid, r.xmin), ' ' order by r.oid)
    from pg_publication_rel r
    where r.prpubid = p.oid and r.prrelid = any($2::text[]::regclass[])),
    {schemas})
from pg_publication p
where p.pubname = $1
