select count(distinct o.value)
from tributary_open_touched o
where o.kind = 'removed' and starts_with(o.value, 'systemeio:')
    and not exists (
        select from tributary.contact f where f.source_key = substr(o.value, 11))
