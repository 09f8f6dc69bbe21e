-- How many sessions the role may have: its own limit and the database's; NULL where there is none.
select current_user::text,
       (select min(l.most)
          from (select rolconnlimit as most from pg_roles where rolname = current_user and not rolsuper
                union all
                select datconnlimit from pg_database where datname = current_database()
                   and not (select rolsuper from pg_roles where rolname = current_user)) l
         where l.most >= 0)
