-- Persons whose whole name or last name begins so. In byte order, in which the names are.
(select email_key from tributary.person_search
    where name is not null and name >= $1 and name < $1 || chr(1114111) order by name limit 51)
union
(select email_key from tributary.person_search
    where last_name is not null and last_name >= $1 and last_name < $1 || chr(1114111) order by last_name limit 51)
limit 51
