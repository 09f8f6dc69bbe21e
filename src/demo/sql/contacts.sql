-- The raw contacts with these keys, what is shown of each in one line.
select 'systemeio', jsonb_build_array(
        array['email', email], array['first_name', first_name], array['last_name', last_name],
        array['phone', phone], array['tags', tags])
from systemeio
where id::text = any($1)
