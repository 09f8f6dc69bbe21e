-- What a start of the daemon, a backfill or a cut-over added to the application's tables by itself: table, column, index or course. The
-- backup that is taken next is of what was there without it, and a rollback to it takes it away again. What `tributary migrate`
-- added stays.
create table tributary.added (
    id bigint generated always as identity primary key,
    kind text not null check (kind in ('table', 'column', 'index', 'course')),
    -- The application's table, quoted.
    relation text not null,
    -- Column, index or id of the course; of a table its own name.
    name text not null,
    at timestamptz not null default now(),
    -- The backup; NULL: none was taken yet.
    run text
);

-- Users of auth.users whose address is not its own e-mail key in lower case.
create table tributary.auth_email (
    user_id uuid primary key,
    email text not null,
    -- NULL: it has none.
    email_key text collate "C"
);
create index auth_email_key on tributary.auth_email (email_key);

-- Users that were made for people (target.auth_users = "create").
create table tributary.created_auth_user (
    user_id uuid primary key,
    at timestamptz not null default now()
);

-- Entry points for psql and SQL editors (SPEC §9): procedures that hand their work to the running daemon, commit, wait and return
-- a summary, and functions that read at once. The work is a row of tributary.command with the key "job" in place of "request".
--
-- Only the owner of this schema may use them. For another role:
--   grant usage on schema tributary to somebody;
--   grant execute on all routines in schema tributary to somebody;
-- The procedures commit, and so run with the caller's rights; what they need of this schema's tables is done by functions of the
-- owner, which take no other request than theirs. validate() reads the application's tables with the caller's rights.

-- Of a job: how often it was begun, and how far it is.
alter table tributary.command add column state jsonb;

-- The validation pack as the daemon that works is configured: the tables by their names.
create table tributary.validation_pack (
    number int primary key,
    name text not null,
    query text not null
);

create function tributary.is_held(key bigint) returns boolean
language sql stable set search_path = pg_catalog, pg_temp as $$
    -- A lock of one bigint is listed by its two halves.
    select exists (select from pg_locks where locktype = 'advisory' and granted and objsubid = 1
        and ((classid::bigint << 32) | objid::bigint) = key
        and database = (select oid from pg_database where datname = current_database()))
$$;
comment on function tributary.is_held(bigint) is 'Whether a session of this database holds the advisory lock.';

create function tributary.request_job(job jsonb) returns bigint
language plpgsql volatile security definer set search_path = pg_catalog, pg_temp as $$
declare
    kinds constant text[] := array['populate_clean_data', 'sync_new_data', 'verify', 'rollback_run'];
    requested bigint;
begin
    if coalesce(job ->> 'do' = any (kinds), false) is false then
        raise exception using errcode = 'invalid_parameter_value', message = 'there is no such job',
            hint = 'call one of the procedures ' || array_to_string(kinds, ', ');
    end if;
    -- A daemon between two sessions serves again within a moment.
    for attempt in 1..16 loop
        exit when tributary.is_held(8390884927158051443);
        if attempt = 16 then
            raise exception using errcode = 'object_not_in_prerequisite_state',
                message = case when tributary.is_held(8390884927376353652)
                    then 'a tributary command works on this target, and no daemon takes requests'
                    else 'no tributary daemon works on this target' end,
                hint = 'start it with `tributary run` (or wait until the command has ended), then repeat';
        end if;
        perform pg_sleep(0.2);
    end loop;
    insert into tributary.command (request, actor) values (jsonb_build_object('job', job), session_user)
    returning id into requested;
    perform pg_notify(nspname || '_command', '') from pg_namespace where oid = to_regnamespace('tributary');
    return requested;
end
$$;
comment on function tributary.request_job(jsonb) is 'Asks the daemon for a job, as the procedures of this schema do.';

create function tributary.job_state(requested bigint) returns jsonb
language sql volatile security definer set search_path = pg_catalog, pg_temp as $$
    select jsonb_build_object('finished', c.finished_at is not null, 'ok', c.ok, 'answer', c.answer,
        'at', c.state -> 'at', 'served', tributary.is_held(8390884927158051443))
    from tributary.command c where c.id = requested and c.request ? 'job' and c.actor = session_user
$$;
comment on function tributary.job_state(bigint) is 'How far a job is that this role asked for.';

create function tributary.withdraw_job(requested bigint) returns boolean
language plpgsql volatile security definer set search_path = pg_catalog, pg_temp as $$
begin
    delete from tributary.command c
    where c.id = requested and c.request ? 'job' and c.actor = session_user and c.finished_at is null;
    return found;
end
$$;
comment on function tributary.withdraw_job(bigint) is 'Takes a job back that nobody carries out.';

create procedure tributary.carry_out(job jsonb, loud boolean, inout result jsonb)
language plpgsql as $$
declare
    requested bigint;
    state jsonb;
    shown jsonb;
    line text;
    -- When no daemon was seen first.
    gone timestamptz;
begin
    requested := tributary.request_job(job);
    -- Only then it is there for the daemon. This fails within a transaction block.
    commit;
    loop
        state := tributary.job_state(requested);
        exit when state is null or (state ->> 'finished')::boolean;
        if loud and state -> 'at' is distinct from shown then
            shown := state -> 'at';
            raise notice '%', shown #>> '{}';
        end if;
        if (state ->> 'served')::boolean then
            gone := null;
        else
            gone := coalesce(gone, clock_timestamp());
            if clock_timestamp() - gone > interval '30 seconds' and tributary.withdraw_job(requested) then
                commit;
                raise exception using errcode = 'object_not_in_prerequisite_state',
                    message = 'the tributary daemon ended before it answered, and no other one took over',
                    hint = 'the request was withdrawn; what it had begun of a backfill goes on when `tributary run` is started';
            end if;
        end if;
        -- No snapshot is held while it waits.
        commit;
        perform pg_sleep(0.2);
    end loop;
    if state is null then
        raise exception using errcode = 'object_not_in_prerequisite_state', message = 'the request was withdrawn';
    end if;
    if not (state ->> 'ok')::boolean then
        raise exception using errcode = 'raise_exception', message = state ->> 'answer';
    end if;
    result := state -> 'answer';
    if loud then
        for line in select jsonb_array_elements_text(result -> 'lines') loop
            raise notice '%', line;
        end loop;
    end if;
    result := result - 'lines';
end
$$;
comment on procedure tributary.carry_out is
    'Has a job carried out by the daemon, and waits for its answer. Not within a transaction block.';

create procedure tributary.populate_clean_data(
    dry_run boolean default true, verbose boolean default true, inout result jsonb default null)
language plpgsql as $$
begin
    call tributary.carry_out(jsonb_build_object('do', 'populate_clean_data', 'dry_run', coalesce($1, true)), $2, $3);
end
$$;
comment on procedure tributary.populate_clean_data is
    'Brings profiles, transactions and enrollments in line with the feeds: the daemon takes a backup and reads everything again. With '
    'dry_run, the default, it says what that would do and writes nothing. Returns counts, validation and duration. verbose: progress as '
    'notices. Call it outside of a transaction block, and where there is a statement_timeout, after `set statement_timeout = 0`: '
    'call tributary.populate_clean_data(dry_run => true, verbose => true, result => null)';

create procedure tributary.sync_new_data(
    dry_run boolean default true, verbose boolean default true, inout result jsonb default null)
language plpgsql as $$
begin
    call tributary.carry_out(jsonb_build_object('do', 'sync_new_data', 'dry_run', coalesce($1, true)), $2, $3);
end
$$;
comment on procedure tributary.sync_new_data is
    'Waits until the daemon has applied all that is committed at the source now, and returns the rows that were written meanwhile. With '
    'dry_run, the default, it says how far behind the daemon is. Options as of populate_clean_data.';

create procedure tributary.verify(
    dry_run boolean default true, verbose boolean default true, inout result jsonb default null)
language plpgsql as $$
begin
    call tributary.carry_out(jsonb_build_object('do', 'verify', 'dry_run', coalesce($1, true)), $2, $3);
end
$$;
comment on procedure tributary.verify is
    'Recomputes everything from the feeds, compares row by row, and returns what differs. With dry_run => false the daemon also repairs '
    'what differs. Options as of populate_clean_data.';

create procedure tributary.rollback_run(
    run text, dry_run boolean default true, verbose boolean default true,
    discard_application_changes boolean default false, inout result jsonb default null)
language plpgsql as $$
begin
    call tributary.carry_out(jsonb_build_object('do', 'rollback_run', 'run', $1, 'dry_run', coalesce($2, true),
        'discard_application_changes', coalesce($4, false)), $3, $5);
end
$$;
comment on procedure tributary.rollback_run is
    'Brings the target tables back to a backup; the daemon is halted then, until populate_clean_data(dry_run => false). With dry_run, the '
    'default, it says what would be done and what the application wrote since. The runs: select run, at, reason from tributary.backup.';

create function tributary.status() returns jsonb
language sql stable security definer set search_path = pg_catalog, pg_temp as $$
    select jsonb_build_object(
        'daemon', tributary.is_held(8390884927158051443),
        'phase', case
            when not tributary.is_held(8390884927376353652) then 'stopped'
            when s.halted is not null then 'halted'
            when b.phase is null then 'starting'
            when b.phase <> 'done' then 'backfilling'
            else 'streaming' end,
        'halted', s.halted,
        'rolled_back', s.rolled_back,
        'slot', i.slot,
        'checkpoint_lsn', c.lsn::text,
        'checkpoint_at', c.updated_at,
        'backfill', jsonb_build_object('stage', b.phase, 'rows_done', b.rows_done, 'rows_estimated', b.rows_estimated,
            'started_at', b.started_at, 'finished_at', b.finished_at),
        'conflicts', (select jsonb_build_object('review', count(*) filter (where severity = 'review'),
            'info', count(*) filter (where severity = 'info')) from tributary.conflict where status = 'open'),
        'people', (select count(*) from tributary.person where state = 'present'),
        'rollout', s.rollout,
        'verification', s.verification,
        'last_operation', (select jsonb_build_object('id', l.id, 'operation', l.operation, 'outcome', l.outcome,
            'started_at', l.started_at, 'finished_at', l.finished_at) from tributary.operation_log l order by l.id desc limit 1))
    from tributary.state s
    cross join tributary.installation i
    left join tributary.backfill b on true
    left join tributary.checkpoint c on c.slot = i.slot
$$;
comment on function tributary.status() is
    'What the daemon does and how far it is: phase (stopped where none works), checkpoint, backfill, open conflicts, rollout, last '
    'verification and operation.';

create function tributary.validate()
returns table ("group" text, point text, expected text, found text, ok boolean)
language plpgsql volatile as $$
declare
    part record;
begin
    if not exists (select from tributary.validation_pack) then
        raise exception using errcode = 'object_not_in_prerequisite_state',
            message = 'no tributary daemon of this version has worked on this target yet',
            hint = 'start it with `tributary run`';
    end if;
    for part in select p.name, p.query from tributary.validation_pack p order by p.number loop
        return query execute format('select %L::text, p.* from (%s) p (point, expected, found, ok)', part.name, part.query);
    end loop;
end
$$;
comment on function tributary.validate() is
    'The validation pack: row counts, addresses, finances, references and business rules, expected and found. Reads at once, with the '
    'rights of the caller.';

-- No other role may execute any of it by default.
revoke all on function tributary.is_held(bigint), tributary.request_job(jsonb), tributary.job_state(bigint),
    tributary.withdraw_job(bigint), tributary.status(), tributary.validate() from public;
revoke all on procedure tributary.carry_out, tributary.populate_clean_data, tributary.sync_new_data, tributary.verify,
    tributary.rollback_run from public;
