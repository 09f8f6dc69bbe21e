select count(distinct o.value)
from tributary_open_touched o
where o.kind = 'removed' and starts_with(o.value, 'xendit:')
    and not exists (
        select from tributary.payment f where f.source_key = substr(o.value, 8))
