-- Whether a session holds the writer's lock ($1) without that of a version ($2). A lock of one bigint is listed by its two
-- halves.
select exists (
    select from pg_locks writer
    where writer.locktype = 'advisory' and writer.granted and writer.objsubid = 1
        and ((writer.classid::bigint << 32) | writer.objid::bigint) = $1
        and writer.database = (select oid from pg_database where datname = current_database())
        and not exists (
            select from pg_locks version
            where version.locktype = 'advisory' and version.granted and version.objsubid = 1
                and version.pid = writer.pid and version.database = writer.database
                and ((version.classid::bigint << 32) | version.objid::bigint) = $2))
