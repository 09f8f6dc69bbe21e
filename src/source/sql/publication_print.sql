-- Differs once the publication, or its entry of a schema, was altered or recreated; and for each of our tables, in their
-- order, its own entry, which is empty where it has none.
select concat_ws(' ', p.oid, p.xmin, {schemas}),
    array(
        select coalesce((
            select concat_ws('/', r.oid, r.xmin)
            from pg_publication_rel r
            where r.prpubid = p.oid and r.prrelid = to_regclass(t.name)), '')
        from unnest($2::text[]) with ordinality as t (name, nth)
        order by t.nth)
from pg_publication p
where p.pubname = $1
