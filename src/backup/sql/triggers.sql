-- Triggers of the application on a table that act, with the statement that brings each back as it is.
select format('alter table %s enable %s trigger %I', $1,
    case t.tgenabled when 'A' then 'always' when 'R' then 'replica' else '' end, t.tgname)
from pg_trigger t
where t.tgrelid = to_regclass($1) and not t.tgisinternal and t.tgenabled <> 'D'
order by t.tgname
