-- What stands against writing here at all: the encoding, transactions that are read-only by default, the role.
select pg_encoding_to_char(d.encoding)::text as encoding,
       current_setting('default_transaction_read_only')::boolean and not pg_is_in_recovery() as read_only,
       current_user::text as role
  from pg_database d
 where d.datname = current_database()
