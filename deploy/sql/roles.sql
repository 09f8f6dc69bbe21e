-- Roles with no more than each needs. Run it as a superuser (hosted: the administrator) in the source database and in the target
-- database, before `tributary migrate`, and again whenever tables were added to the lists below. Running it twice is a no-op.
--
--   tributary_stream   source: reads the tables of the feeds and the replication stream, writes nothing
--   tributary_migrate  target: owns schema tributary; `tributary migrate` uses it, the daemon does not (run.migrate = false)
--   tributary_apply    target: writes rows of the application's tables and of schema tributary, makes and alters nothing
--
-- Afterwards give each a password (\password tributary_stream …) and use:
--   [source] url = "postgresql://tributary_stream@…"     [target] url = "postgresql://tributary_apply@…"
--   TRIBUTARY_TARGET_URL=postgresql://tributary_migrate@… tributary migrate
do $$
declare
    -- The tables of the feeds, in the source.
    feeds constant text[] := array['public.xendit', 'public.systemeio'];
    name text;
begin
    foreach name in array array['tributary_stream', 'tributary_migrate', 'tributary_apply'] loop
        begin
            execute format('create role %I login noinherit', name);
        exception when duplicate_object or unique_violation then
            null;
        end;
        execute format('grant connect on database %I to %I', current_database(), name);
    end loop;

    -- Source. Hosted servers that keep the attribute to themselves have a role for it: rds_replication on RDS.
    if not (select rolreplication from pg_roles where rolname = 'tributary_stream') then
        if exists (select from pg_roles where rolname = 'rds_replication') then
            grant rds_replication to tributary_stream;
        else
            alter role tributary_stream replication;
        end if;
    end if;
    foreach name in array feeds loop
        if to_regclass(name) is not null then
            execute format('grant usage on schema %s to tributary_stream', split_part(name, '.', 1));
            execute format('grant select on %s to tributary_stream', name);
        end if;
    end loop;
end $$;

-- Target. In a database that is the source alone, leave out what follows.
create schema if not exists tributary authorization tributary_migrate;
revoke all on schema tributary from public;
grant usage on schema tributary to tributary_apply;
alter default privileges for role tributary_migrate in schema tributary
    grant select, insert, update, delete on tables to tributary_apply;
alter default privileges for role tributary_migrate in schema tributary grant usage, select on sequences to tributary_apply;
grant select, insert, update, delete on all tables in schema tributary to tributary_apply;
grant usage, select on all sequences in schema tributary to tributary_apply;
-- The application's tables that are missing are made by `migrate`; where one is there and lacks columns, its owner runs `migrate` once.
grant usage, create on schema public to tributary_migrate;
grant usage on schema public to tributary_apply;
alter default privileges for role tributary_migrate in schema public
    grant select, insert, update, delete on tables to tributary_apply;
do $$
declare
    -- The application's tables, and what is done with them.
    written constant text[][] := array[
        ['public.unified_profiles', 'select, insert, update, delete'],
        ['public.transactions', 'select, insert, update, delete'],
        ['public.enrollments', 'select, insert, update'],
        ['public.courses', 'select']];
    entry text[];
begin
    execute format('grant temporary on database %I to tributary_apply', current_database());
    foreach entry slice 1 in array written loop
        if to_regclass(entry[1]) is not null then
            execute format('grant %s on %s to tributary_apply', entry[2], entry[1]);
        end if;
    end loop;
    -- New people take the ids of their users where these are in a table auth.users (target.auth_users); grant insert and delete on auth.users and auth.identities too where it makes users.
    if to_regclass('auth.users') is not null then
        grant usage on schema auth to tributary_apply;
        grant select on auth.users to tributary_apply;
    end if;
    -- Statistics of its own tables, where that can be granted; elsewhere autovacuum gathers them.
    if current_setting('server_version_num')::int >= 170000 then
        execute 'grant maintain on all tables in schema tributary to tributary_apply';
        execute 'alter default privileges for role tributary_migrate in schema tributary grant maintain on tables to tributary_apply';
    end if;
    -- Whatever a hosted server grants by default to the roles of its public API.
    for entry in select array[rolname::text] from pg_roles where rolname in ('anon', 'authenticated') loop
        execute format('revoke all on all tables in schema tributary from %I', entry[1]);
        execute format('revoke all on schema tributary from %I', entry[1]);
    end loop;
end $$;
