delete from tributary.alias a
where not exists (
    select from tributary.decision d
    where d.kind = 'alias' and d.reverted_at is null and d.a = a.from_key);
with recursive path as (
    select d.a as from_key, d.b as at, 1 as steps
    from tributary.decision d
    where d.kind = 'alias' and d.reverted_at is null
    union all
    select p.from_key, d.b, p.steps + 1
    from path p
    join tributary.decision d on d.kind = 'alias' and d.reverted_at is null and d.a = p.at
    where p.steps < 100000
),
ended as (
    select p.from_key, p.at as root_key
    from path p
    where not exists (
        select from tributary.decision d
        where d.kind = 'alias' and d.reverted_at is null and d.a = p.at)
)
insert into tributary.alias (from_key, root_key)
select from_key, root_key from ended
on conflict (from_key) do update set root_key = excluded.root_key
where alias.root_key <> excluded.root_key;
