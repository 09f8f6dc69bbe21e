-- Every look-up of the writer is narrow and has its index. Within one large transaction no statistics are
-- gathered, so that the planner takes a table that has grown by 100,000 rows for an empty one and scans it
-- for every round. Compiling a plan never pays for such look-ups.
set enable_seqscan = off;
set jit = off;
-- Working tables of the writer's session: what an open large source transaction has touched so far, how
-- many facts of each e-mail key it added, and the e-mail keys of contacts that it deleted and may insert
-- again. They live as long as one target transaction.
create temp table if not exists tributary_open_facts (
    email_key text collate "C" not null,
    facts bigint not null
) on commit delete rows;
create temp table if not exists tributary_open_touched (
    kind text not null,
    value text collate "C" not null
) on commit delete rows;
create index if not exists tributary_open_touched_value on tributary_open_touched (kind, value);
create temp table if not exists tributary_open_gone (
    source_key text collate "C" primary key,
    email_key text collate "C" not null
) on commit delete rows;
