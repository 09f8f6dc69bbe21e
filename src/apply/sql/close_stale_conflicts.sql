-- What was judged about rows and owners that no longer exist.
update tributary.conflict k
set status = 'resolved', resolved_at = now(), resolved_by = 'source'
where status <> 'resolved' and (
    (starts_with(scope, 'xendit:') and not exists (
        select from tributary.payment p where p.source_key = substr(k.scope, 8)))
    or (starts_with(scope, 'systemeio:') and not exists (
        select from tributary.contact c where c.source_key = substr(k.scope, 11)))
    or (starts_with(scope, 'rejected:xendit:') and not exists (
        select from tributary.payment p where p.source_key = substr(k.scope, 17)))
    or (starts_with(scope, 'rejected:systemeio:') and not exists (
        select from tributary.contact c where c.source_key = substr(k.scope, 20)))
    or (starts_with(scope, 'owner:') and not exists (
        select from tributary.payment p where p.owner = substr(k.scope, 7)) and not exists (
        select from tributary.contact c where c.owner = substr(k.scope, 7)))
    or (starts_with(scope, 'pair:') and not exists (
        select from tributary.person p where p.email_key = substr(k.scope, 6) and p.state = 'present'))
    or (starts_with(scope, 'external_id:') and not exists (
        select from tributary.payment p where p.external_id = substr(k.scope, 13)))
    or (starts_with(scope, 'contact_id:') and not exists (
        select from tributary.contact c where c.contact_id = substr(k.scope, 12)))
)
