-- Users whose address is not its own key in lower case, as far as that is to be seen, and is not recorded, in the order of their
-- ids.
select u.id, u.email::text
from auth.users u
where u.id > $1 and u.email::text !~ '^[A-Za-z0-9!#$%&''*+/=?^_`{|}~.-]+@[A-Za-z0-9.-]+$'
    and not exists (
        select from tributary.auth_email e
        where e.user_id = u.id and e.email = u.email::text)
order by u.id
limit $2
