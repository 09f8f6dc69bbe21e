-- As contacts.sql, of the further feeds.
select 'purchase_leads', jsonb_build_array(array['email', email], array['first_name', first_name], array['source_page', source_page])
from purchase_leads
where id::text = any($1)
union all
select 'ebook_contacts', jsonb_build_array(array['email', email], array['name', name])
from ebook_contacts
where email = any($1)
