-- Rows of one source table that the open source transaction deleted and did not insert again.
select count(distinct o.value)
from tributary_open_touched o
where o.kind = 'deleted' and starts_with(o.value, $1)
    and not exists (
        select from {facts} f where f.source_key = substr(o.value, length($1) + 1))
