-- The metadata of a row as an object, whether the column of the application is json, jsonb or a text. What is no object, or no JSON
-- at all, becomes the `value` of one, so that it is not lost when the daemon adds its own keys.
create function tributary.metadata(jsonb) returns jsonb language sql stable parallel safe
return case jsonb_typeof($1)
    when 'object' then $1
    when 'null' then null
    else case when $1 is not null then jsonb_build_object('value', $1) end
end;

create function tributary.metadata(json) returns jsonb language sql stable parallel safe
return tributary.metadata($1::jsonb);

-- Its block is a subtransaction, which no parallel plan may have.
create function tributary.metadata(text) returns jsonb language plpgsql stable parallel unsafe as $$
begin
    return tributary.metadata($1::jsonb);
exception when others then
    return jsonb_build_object('value', $1);
end $$;
