-- How a custodian's content comes into the warehouse: staged by COPY and published, in one transaction.

-- name: empty_staging
SELECT content.empty_staging();

-- name: stage_admission
COPY content.admission_staging (record_pseudonym, admitted, discharged, diagnosis_code) FROM STDIN;

-- name: stage_dispensing
COPY content.dispensing_staging (record_pseudonym, dispensed, atc_code, quantity) FROM STDIN;

-- name: publish_content
SELECT status, audit_sequence
  FROM content.publish_content(:run_id, :as_of, :digest, :row_count, :event);
