-- A schema that is found on another server or database than before is a copy, or was moved: it gets a name of its
-- own, so that the source can distinguish it from what it was copied from.
update tributary.installation
set epoch = epoch + 1,
    id = case when target <> $1 then gen_random_uuid() else id end,
    relocated = relocated or coalesce(target <> $1, false),
    target = coalesce($1, target),
    slot = $2,
    rules = $3,
    taken_over_at = now()
returning id, epoch, relocated, source_system
