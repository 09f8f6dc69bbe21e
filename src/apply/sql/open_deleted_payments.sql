-- A page of the payments that the open source transaction deleted and that may have a transaction, each with its person. Where the
-- transaction moved the person, that is the one of the new address. The last column: whether its transaction was noted.
select o.feed, o.key, coalesce(a.root_key, o.owner_before), o.had_transaction is not null
from tributary_open_row o
join tributary.feed f on f.number = o.feed and f.kind = 'payment'
left join tributary.alias a on a.from_key = o.owner_before
where (o.feed, o.key) > ($1, $2) and o.had_transaction is not false
    and not exists (select from tributary.source_row r where r.feed = o.feed and r.key = o.key)
order by o.feed, o.key
limit $3
