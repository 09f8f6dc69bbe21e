-- Whether the server is a standby, and the oldest transaction that runs and the next one that is to begin, as a snapshot sees them.
select pg_is_in_recovery(), pg_snapshot_xmin(s)::text::bigint, pg_snapshot_xmax(s)::text::bigint
from pg_current_snapshot() s
