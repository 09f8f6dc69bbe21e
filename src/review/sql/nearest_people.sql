-- People who may be meant: the same canonical key, the same local part, or the same beginning. Each arm
-- is one short index range.
(select email_key from tributary.person where canonical = $1 and state = 'present' limit 20)
union
(select email_key from tributary.person
    where email_key >= $2 || '@' and email_key < $2 || 'A' limit 20)
union
(select email_key from tributary.person where email_key >= left($2, 3) and email_key < $2 || '@'
    order by email_key desc limit 100)
union
(select email_key from tributary.person where email_key >= $2 || '@' order by email_key limit 100)
