-- What is shown of persons who were found; {profiles} is the configured table.
select n.email_key, n.profile_id::text, n.state, nullif(concat_ws(' ', p.first_name, p.last_name), ''), p.phone::text,
    coalesce(s.paid, 0)::text
from tributary.person n
left join tributary.person_search s on s.email_key = n.email_key
left join {profiles} p on p.id = n.profile_id
where n.email_key = any($1)
order by n.email_key
limit 51
