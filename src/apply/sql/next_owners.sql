select owner
from (
    (select owner from tributary.source_row where owner > $1 group by owner order by owner limit $2)
    union
    (select email_key from tributary.person where email_key > $1 order by email_key limit $2)
) o
order by owner
limit $2
