-- The first night of a key epoch: records that go on under another pseudonym, for that night alone.

-- name: empty_passages
DELETE FROM linkage.epoch_staging WHERE run_id = :run_id;

-- name: count_carried_holds
SELECT held, carried FROM linkage.count_carried_holds(:run_id, :fence);

-- name: stage_passages
COPY linkage.epoch_staging (run_id, fence, custodian, record, former_record) FROM STDIN;
