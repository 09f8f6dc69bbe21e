update tributary.decision
set reverted_at = now(), reverted_by = $2, reverted_note = 'the address came back'
where kind = 'alias' and automatic and reverted_at is null and a = any($1)
