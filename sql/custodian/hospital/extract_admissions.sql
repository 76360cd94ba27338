-- Content: stays, without any identifier but the source's own id, which becomes a record pseudonym before it
-- leaves. Dates ISO.
-- reads admission: admission_id bigint, patient_id text, admitted date, discharged date, diagnosis_code text
-- returns: source_id, admitted, discharged, diagnosis_code
SELECT
    patient_id       AS source_id,
    admitted::text   AS admitted,
    discharged::text AS discharged,
    diagnosis_code
FROM admission
ORDER BY patient_id, admission_id
