-- What is asked to forget a record, or what ended long ago, and to hold records against both.

-- name: suppressed_records
SELECT r::text FROM linkage.suppressed_records(:custodian, CAST(:records AS uuid[])) AS r;

-- name: anyone_suppressed
SELECT linkage.anyone_suppressed();

-- name: count_erasure
SELECT links, members, content_rows, erased_before FROM linkage.count_erasure(:project, :custodian, :record);

-- name: erase_record
SELECT linkage.erase_record(:project, :custodian, :record, :event);

-- name: count_expired
SELECT links, members FROM linkage.count_expired(:project, :before);

-- name: apply_retention
SELECT linkage.apply_retention(:project, :before, :event);

-- name: set_hold
SELECT linkage.set_hold(:project, :custodian, :record, :held, :event);
