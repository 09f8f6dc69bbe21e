-- By severity, as the index of open conflicts is. One that was dismissed may have been opened before too.
select exists (
        select from tributary.backfill b
        cross join (values ('review'), ('info')) v (severity)
        join tributary.conflict c on c.severity = v.severity and c.status = 'open' and c.first_seen_at < b.started_at
    )
    or exists (select from tributary.decision where kind = 'dismiss')
