-- $1: owners. Whether the reconcile under way found the address of a row changed that was or is one of theirs.
select exists (
    select from tributary.source_row r
    join tributary.email_before b on b.feed = r.feed and b.key = r.key
    where r.owner = any($1)
) or exists (
    select from tributary.email_before b
    left join tributary.alias a on a.from_key = b.email
    where coalesce(a.root_key, b.email) = any($1)
)
