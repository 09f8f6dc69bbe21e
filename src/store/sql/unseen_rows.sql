-- A page of the rows of a feed that the reconcile has not seen: $1 feed, $2 after this key, $3 the reconcile, up to $4 rows and
-- about $5 bytes of their values.
select key
from (
    select key, row_number() over number as number, sum(bytes) over number as bytes
    from (
        select key, octet_length(raw)::bigint as bytes
        from tributary.source_row
        where feed = $1 and key > $2 and generation < $3
        order by feed, key
        limit $4
    ) r
    window number as (order by key)
) r
where number = 1 or bytes <= $5::bigint
order by key
