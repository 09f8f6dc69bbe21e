-- Decisions, newest first; a dismissal shows which conflict it is about.
select d.id, d.kind, d.a, d.b, d.automatic, d.actor, d.note, coalesce(d.conflict_id, k.id),
    d.created_at, d.reverted_at, d.reverted_by, d.reverted_note, k.kind, k.subject
from tributary.decision d
left join tributary.conflict k on d.kind = 'dismiss' and k.fingerprint::text = d.a
where ($1::text[] is null or d.kind = any($1)) and ($2 or d.reverted_at is null)
order by d.id desc
limit $3
