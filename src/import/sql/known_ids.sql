-- What the id map knows of these old ids, each by its table.
select m.table_name, m.old_id, m.new_id, m.run, m.record
from unnest($2::text[], $3::text[]) w (table_name, old_id)
join tributary.id_map m
    on m.import = $1 and m.table_name = w.table_name and m.old_id = w.old_id
