-- Ends an entry and releases the lock that shows it to be under way, on disk with the commit (P7).
update tributary.operation_log
set finished_at = clock_timestamp(), outcome = $2, processed = $3, succeeded = $4, failed = $5, errors = $6,
    detail = detail || $7
where id = $1 and set_config('synchronous_commit', 'on', true) is not null
