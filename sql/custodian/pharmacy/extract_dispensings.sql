-- Content: items handed out, without any identifier but the source's own id, which becomes a record pseudonym
-- before it leaves. Dates ISO.
-- reads dispensing: dispensing_id bigint, cust_no text, dispensed date, atc_code text, qty integer
-- returns: source_id, dispensed, atc_code, quantity
SELECT
    cust_no         AS source_id,
    dispensed::text AS dispensed,
    atc_code,
    qty::text       AS quantity
FROM dispensing
ORDER BY cust_no, dispensing_id
