select contact_id
from tributary.contact
where contact_id is not null and email_key is not null
group by contact_id
having min(owner) <> max(owner)
