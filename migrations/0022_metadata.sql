-- What the metadata of a row say, whatever the application keeps in the column: json, jsonb or a text. Where that is no object, or
-- no JSON at all, it is the `value` of one, so that nothing of it is lost when the daemon adds its own.
create function tributary.metadata(jsonb) returns jsonb language sql stable parallel safe
return case jsonb_typeof($1)
    when 'object' then $1
    when 'null' then null
    else case when $1 is not null then jsonb_build_object('value', $1) end
end;

create function tributary.metadata(json) returns jsonb language sql stable parallel safe
return tributary.metadata($1::jsonb);

create function tributary.metadata(text) returns jsonb language plpgsql stable parallel safe as $$
begin
    return tributary.metadata($1::jsonb);
exception when others then
    return jsonb_build_object('value', $1);
end $$;
