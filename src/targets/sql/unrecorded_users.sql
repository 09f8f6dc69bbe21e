-- The next users by id, up to $2: those whose address is not its own key in lower case, as far as that is to be seen, and is not
-- recorded; and, without an address, the last of the page where more may follow.
with page as materialized (
    select u.id, u.email::text as email
    from auth.users u
    where u.id > $1
    order by u.id
    limit $2
)
select n.id, n.email
from page n
where n.email !~ '^[A-Za-z0-9!#$%&''*+/=?^_`{|}~.-]+@[A-Za-z0-9.-]+$'
    and not exists (
        select from tributary.auth_email e
        where e.user_id = n.id and e.email = n.email
        offset 0)
union all
(select l.id, null from page l order by l.id offset $2 - 1 limit 1)
