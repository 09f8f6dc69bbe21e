insert into tributary.quarantine (owner, next_attempt_at)
select owner, now() + interval '1 minute' from unnest($1::text[]) as n (owner)
on conflict (owner) do update set
    attempts = quarantine.attempts + 1,
    next_attempt_at = now() + least(interval '1 hour', interval '1 minute' * (1 << least(quarantine.attempts, 6)))
