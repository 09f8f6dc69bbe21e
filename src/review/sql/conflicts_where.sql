where ($1::text[] is null or k.kind = any($1))
    and ($2::text is null or k.severity = $2)
    and ($3::text is null or k.status = $3)
    and ($4::text is null or strpos(lower(k.subject), lower($4)) > 0)
    and ($5::text is null or k.subject = $5
        or jsonb_path_exists(k.evidence, '$.** ? (@ == $e)', jsonb_build_object('e', $5::text)))
    and ($6::timestamptz is null or k.first_seen_at >= $6)
