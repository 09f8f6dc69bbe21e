-- What the id map knows of these old ids of a table.
select m.old_id, m.new_id, m.run, m.record
from unnest($3::text[]) w (old_id)
join tributary.id_map m on m.import = $1 and m.table_name = $2 and m.old_id = w.old_id
