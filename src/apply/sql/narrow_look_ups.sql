-- Every look-up of this session is narrow and has its index. Within one large transaction no statistics are gathered,
-- so that the planner takes a table that has grown by 100,000 rows for an empty one and scans it for every round.
-- `exists` in a select list, or beneath `or` or `case`, is another scan: of the whole index, into a hash. There the look-ups are
-- scalar subqueries with `limit 1`, which never are.
-- Compiling a plan never pays for such look-ups, and an ordered look-up must walk its index rather than sort.
set enable_seqscan = off;
set enable_sort = off;
set enable_incremental_sort = off;
set jit = off;
