-- A resolved conflict whose cause came back opens again under its id. People whose money is at stake are a line each.
insert into tributary.conflict
    (kind, severity, status, subject, fingerprint, scope, also, evidence, evidence_digest, amount)
select n.kind, n.severity, n.status, n.subject, n.fingerprint, n.scope, n.also, n.evidence::jsonb, n.evidence_digest,
    coalesce(n.amount::numeric,
        (select sum(s.paid) from tributary.person_search s
            where s.email_key = any(string_to_array(n.people, e'\n'))),
        0)
from unnest($1::text[], $2::text[], $3::text[], $4::text[], $5::uuid[], $6::text[], $7::text[], $8::text[], $9::uuid[],
    $10::text[], $11::text[]) as n
    (kind, severity, status, subject, fingerprint, scope, also, evidence, evidence_digest, amount, people)
on conflict (fingerprint) do update set
    severity = excluded.severity,
    status = excluded.status,
    scope = excluded.scope,
    also = excluded.also,
    evidence = excluded.evidence,
    evidence_digest = excluded.evidence_digest,
    amount = excluded.amount,
    last_seen_at = now(),
    resolved_at = null,
    resolved_by = null
