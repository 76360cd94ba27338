-- Identifiers of every customer, under the standard names, as text, in the pharmacy's own formats: dates
-- dd/mm/yyyy, sex 1/2, capitals. Ordered, so that the same data always arrive in the same order.
-- reads customer: cust_no text, forename text, second_name text, surname text, dob text, gender text
-- reads customer: address_line text, town text, zip text, mobile text, mail text
-- returns: source_id, given_name, middle_name, family_name, birth_date, sex
-- returns: street, city, postcode, phone, email
SELECT
    cust_no      AS source_id,
    forename     AS given_name,
    second_name  AS middle_name,
    surname      AS family_name,
    dob          AS birth_date,
    gender       AS sex,
    address_line AS street,
    town         AS city,
    zip          AS postcode,
    mobile       AS phone,
    mail         AS email
FROM customer
ORDER BY cust_no
