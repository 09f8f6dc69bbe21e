select external_id
from tributary.payment
where external_id is not null
group by external_id
having count(*) > 1
