-- Takes every privilege on a schema and its tables from everybody but their owner: default privileges may have granted some.
do $$
declare
    held record;
begin
    for held in
        select 'schema' as kind, quote_ident(n.nspname) as name, a.grantee
        from pg_namespace n, aclexplode(n.nspacl) a
        where n.nspname = '{schema}' and a.grantee <> n.nspowner
        union
        select 'table', format('%I.%I', n.nspname, c.relname), a.grantee
        from pg_class c
        join pg_namespace n on n.oid = c.relnamespace, aclexplode(c.relacl) a
        where n.nspname = '{schema}' and a.grantee <> c.relowner
    loop
        execute format('revoke all on %s %s from %s cascade', held.kind, held.name,
            case when held.grantee = 0 then 'public' else quote_ident(pg_get_userbyid(held.grantee)) end);
    end loop;
end
$$
