-- $1: owners. Whether the reconcile under way found the address of a row changed that was or is one of theirs.
select exists (
    select from tributary.source_row r
    join tributary.email_before b on b.feed = r.feed and b.key = r.key
    where r.owner = any($1)
) or exists (
    select from tributary.email_before b where b.email = any($1)
) or exists (
    select from tributary.alias a
    join tributary.email_before b on b.email = a.from_key
    where a.root_key = any($1)
)
