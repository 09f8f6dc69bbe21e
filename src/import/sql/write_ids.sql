insert into tributary.id_map (import, table_name, old_id, new_id, run, record)
select $1, $2, w.old_id, w.new_id, $3, w.record
from unnest($4::text[], $5::text[], $6::int8[]) w (old_id, new_id, record)
on conflict (import, table_name, old_id) do update
set new_id = excluded.new_id, run = excluded.run, record = excluded.record
