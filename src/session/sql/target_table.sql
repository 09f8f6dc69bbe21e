-- A target table, where there is one: what the role may not do with it, whether row-level security, a trigger before the
-- row or a rule may hide or drop rows from the role, the columns whose type no value of ours fits, and those of ours that the
-- server computes. $1: the table; $2: what must be allowed; $3 and $4: columns that hold texts and numbers; $5: columns that are
-- written.
select array(select p from unnest($2::text[]) as p where not has_table_privilege(c.oid, p)),
       row_security_active(c.oid)
       or exists (select from pg_trigger t
                   -- For each row (1), before it (2).
                   where t.tgrelid = c.oid and not t.tgisinternal and t.tgenabled <> 'D' and t.tgtype & 3 = 3)
       or exists (select from pg_rewrite r where r.ev_class = c.oid and r.ev_type <> '1' and r.ev_enabled <> 'D'),
       array(select a.attname || ' (' || format_type(a.atttypid, a.atttypmod) || ')'
               from pg_attribute a
               join pg_type t on t.oid = a.atttypid
              where a.attrelid = c.oid and a.attnum > 0 and not a.attisdropped
                and (a.attname = any ($3::text[]) and t.typcategory not in ('S', 'U')
                     or a.attname = any ($4::text[]) and t.typcategory <> 'N'
                     or a.attname = 'metadata' and a.attname = any ($5::text[]) and t.typcategory <> 'S'
                        and t.typname not in ('json', 'jsonb', 'citext')
                        and t.typbasetype not in ('json'::regtype, 'jsonb'::regtype))
              order by a.attnum),
       array(select a.attname::text
               from pg_attribute a
              where a.attrelid = c.oid and a.attnum > 0 and not a.attisdropped and a.attname = any ($5::text[])
                and (a.attgenerated <> '' or a.attidentity = 'a')
              order by a.attnum)
  from pg_class c
 where c.oid = to_regclass($1)
   and has_schema_privilege(c.relnamespace, 'usage')
