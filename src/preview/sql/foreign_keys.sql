-- The statements that give copies the foreign keys that hold among the tables they are copies of. The rows that were copied
-- are not checked again.
with pair as (
    select to_regclass(p.original) as original, p.copy
    from unnest($1::text[], $2::text[]) as p (original, copy)
    where to_regclass(p.original) is not null
)
select format('alter table %s add constraint %I foreign key (%s) references %s (%s)%s%s%s not valid',
    own.copy, c.conname,
    (select string_agg(quote_ident(a.attname), ', ' order by k.at)
        from unnest(c.conkey) with ordinality as k (number, at)
        join pg_attribute a on a.attrelid = c.conrelid and a.attnum = k.number),
    other.copy,
    (select string_agg(quote_ident(a.attname), ', ' order by k.at)
        from unnest(c.confkey) with ordinality as k (number, at)
        join pg_attribute a on a.attrelid = c.confrelid and a.attnum = k.number),
    case c.confdeltype when 'c' then ' on delete cascade' when 'n' then ' on delete set null'
        when 'd' then ' on delete set default' when 'r' then ' on delete restrict' else '' end,
    case c.confupdtype when 'c' then ' on update cascade' when 'n' then ' on update set null'
        when 'd' then ' on update set default' when 'r' then ' on update restrict' else '' end,
    case when c.condeferrable then ' deferrable' else '' end
        || case when c.condeferred then ' initially deferred' else '' end)
from pg_constraint c
join pair own on own.original = c.conrelid
join pair other on other.original = c.confrelid
where c.contype = 'f' and c.conparentid = 0
order by c.conname, c.oid
