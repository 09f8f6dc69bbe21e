-- Data and checkpoint are committed together.
select exists (select from public.transactions where id = $1)
   and exists (select from tributary.checkpoint where lsn >= $2::text::pg_lsn)
