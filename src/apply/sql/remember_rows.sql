-- $1 to $5: rows as they are stored before this part (owner and e-mail key NULL where there is none; whether a
-- transaction was written, NULL where that was not noted). The first sight of a row in a transaction counts.
insert into tributary_open_row (feed, key, owner_before, email_before, old_email, had_transaction)
select n.feed, n.key, n.owner, n.email, n.email, n.had_transaction
from unnest($1::int2[], $2::text[], $3::text[], $4::text[], $5::bool[])
    as n (feed, key, owner, email, had_transaction)
on conflict (feed, key) do nothing
