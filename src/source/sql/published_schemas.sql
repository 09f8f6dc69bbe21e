(
    select string_agg(concat_ws('/', s.oid, s.xmin), ' ' order by s.oid)
    from pg_publication_namespace s
    where s.pnpubid = p.oid)
