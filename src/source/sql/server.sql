-- Settings, limits and the role, in one row. A managed server lets members of a role of its own
-- replicate without the REPLICATION attribute.
select current_setting('server_version') as version,
       current_setting('server_version_num')::int as version_number,
       pg_is_in_recovery() as standby,
       current_setting('wal_level') as wal_level,
       current_setting('max_replication_slots')::int as max_slots,
       (select count(*) from pg_replication_slots) as slots,
       exists (select from pg_replication_slots where slot_name = $1::text) as has_slot,
       exists (select from pg_replication_slots where slot_name = $1::text and active) as is_streaming,
       current_setting('max_wal_senders')::int as max_senders,
       (select count(*) from pg_stat_activity where backend_type = 'walsender') as senders,
       current_user::text as role,
       (select r.rolsuper or r.rolreplication from pg_roles r where r.rolname = current_user)
           or exists (select
                        from pg_roles r
                       where r.rolname in ('rds_replication', 'rds_superuser', 'cloudsqlsuperuser',
                                           'alloydbsuperuser')
                         and pg_has_role(current_user, r.oid, 'member')) as may_replicate
