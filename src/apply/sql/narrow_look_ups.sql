-- Every look-up of this session is narrow and has its index. Within one large transaction no statistics are gathered,
-- so that the planner takes a table that has grown by 100,000 rows for an empty one and scans it for every round.
-- Compiling a plan never pays for such look-ups, and an ordered look-up must walk its index rather than sort.
set enable_seqscan = off;
set enable_sort = off;
set enable_incremental_sort = off;
set jit = off;
