-- Identifiers of every patient, under the standard names, as text, in the hospital's own formats: dates ISO,
-- sex M/F. Ordered, so that the same data always arrive in the same order.
-- reads patient: patient_id text, given_name text, middle_name text, family_name text, birth_date date
-- reads patient: sex text, street text, city text, postcode text, phone text, email text
-- returns: source_id, given_name, middle_name, family_name, birth_date, sex
-- returns: street, city, postcode, phone, email
SELECT
    patient_id       AS source_id,
    given_name,
    middle_name,
    family_name,
    birth_date::text AS birth_date,
    sex,
    street,
    city,
    postcode,
    phone,
    email
FROM patient
ORDER BY patient_id
