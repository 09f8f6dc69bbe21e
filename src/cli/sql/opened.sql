-- $1: the daemon's own schema. What takes back each grant that opens the daemon's own schemas, backups included, to everybody or to the roles of a public API.
with others (oid, name) as (
    select 0::oid, 'public'
    union all
    select r.oid, quote_ident(r.rolname) from pg_roles r where r.rolname in ('anon', 'authenticated')
), own as (
    select n.oid, n.nspname, n.nspacl from pg_namespace n where n.nspname = $1 or starts_with(n.nspname, $1 || '_')
), granted (revoke) as (
    select format('REVOKE ALL ON SCHEMA %I FROM %s;', own.nspname, others.name)
      from own, aclexplode(own.nspacl) a, others
     where others.oid = a.grantee
    union
    select format('REVOKE ALL ON TABLE %I.%I FROM %s;', own.nspname, c.relname, others.name)
      from own
      join pg_class c on c.relnamespace = own.oid and c.relkind in ('r', 'p', 'v', 'm', 'f'),
           lateral (
               select (aclexplode(c.relacl)).grantee
               union all
               select (aclexplode(t.attacl)).grantee from pg_attribute t where t.attrelid = c.oid and t.attacl is not null
           ) a,
           others
     where others.oid = a.grantee
)
select coalesce(array_agg(revoke order by revoke), '{}') from granted
