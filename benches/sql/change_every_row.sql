-- Changes every row of both tables, a batch a transaction.
do $$
begin
    for number in 0 .. (select greatest((select max(batch) from public.contact_batch),
                                        (select max(batch) from public.payment_batch))) loop
        update public.systemeio s set tags = 'Newsletter, PaidP2P', updated_at = now()
        from public.contact_batch b where b.batch = number and s.id = b.id;
        update public.xendit x set status = 'SETTLED', amount = coalesce(x.amount, 0) + 1
        from public.payment_batch b where b.batch = number and x.id = b.id;
        commit;
    end loop;
end
$$
