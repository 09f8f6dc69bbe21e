-- What the catalog says of our tables, in their order, without a lock on any of them. $1: the tables; $2: by table the
-- columns that are read, as JSON. A row version (xmin) differs once its entry was written again: that of the row type after
-- every renaming and moving, also back, and after no grant; that of an inheritance once it was recreated.
with recursive wanted as (
    select t.nth, to_regclass(t.name)::oid as oid, $2::jsonb -> (t.nth::int - 1) as columns
    from unnest($1::text[]) with ordinality as t (name, nth)
), types as (
    -- Those of the columns that are read, and what domains and arrays are made of.
    select w.nth, a.atttypid as type
    from wanted w join pg_attribute a on a.attrelid = w.oid
    where a.attnum > 0 and not a.attisdropped and w.columns ? a.attname::text
    union
    select t.nth, o.type
    from types t
    join pg_type ty on ty.oid = t.type
    cross join lateral (values (ty.typbasetype), (ty.typelem)) as o (type)
    where o.type <> 0
), tree as (
    select w.nth, w.oid, '' as link from wanted w where w.oid is not null
    union all
    select t.nth, i.inhrelid, i.xmin::text from tree t join pg_inherits i on i.inhparent = t.oid
)
select jsonb_build_object(
    'relation', coalesce(w.oid::text, ''),
    'name', coalesce((
        select concat_ws('/', c.relnamespace, ty.xmin)
        from pg_class c left join pg_type ty on ty.oid = c.reltype
        where c.oid = w.oid), ''),
    'columns', coalesce((
        -- One that is gone has no version.
        select jsonb_object_agg(n.name, concat_ws('/', a.attnum, a.atttypid, a.atttypmod, a.xmin))
        from jsonb_array_elements_text(w.columns) as n (name)
        left join pg_attribute a
            on a.attrelid = w.oid and a.attname = n.name and a.attnum > 0 and not a.attisdropped), '{}'),
    'labels', coalesce((
        select jsonb_object_agg(e.oid, e.xmin::text)
        from types t
        join pg_enum e on e.enumtypid = t.type
        where t.nth = w.nth), '{}'),
    'parts', coalesce((
        select jsonb_object_agg(c.oid, concat_ws('/', c.relfilenode, c.relpersistence, t.link))
        from tree t join pg_class c on c.oid = t.oid
        where t.nth = w.nth), '{}'))
from wanted w
order by w.nth
