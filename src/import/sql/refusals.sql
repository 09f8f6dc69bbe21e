with r as (
    select * from tributary.import_reject where import = $1 and run = $2
    order by load, record, element limit $3
), other as (
    select m.new_id, min(m.old_id) as old_id from tributary.id_map m
    where m.import = $1 and m.new_id in (select r.other_key from r where r.outcome = 'duplicate')
    group by m.new_id
)
select r.load, r.record, r.element, r.outcome, r.key, r.field, r.reason,
    case when other.old_id <> r.other_key then other.old_id || ' (' || r.other_key || ')' else r.other_key end,
    r.other_record
from r
left join other on other.new_id = r.other_key
order by r.load, r.record, r.element
