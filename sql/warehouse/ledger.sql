-- What the ledger is asked. Writing goes through the functions of schema/ledger_functions.sql.

-- name: begin_run
SELECT fence, status FROM linkage.begin_run(:run_id, :project, :as_of, :custodians, :resolution,
    :protocol_version, :protocol_fingerprint, :key_epoch, :code_version);

-- name: fail_run
SELECT linkage.fail_run(:run_id, :fence, :code, :event);

-- name: read_run
SELECT r.* FROM linkage.link_run AS r WHERE r.run_id = :run_id;

-- name: read_head
SELECT r.* FROM linkage.project AS p JOIN linkage.link_run AS r ON r.run_id = p.head_run WHERE p.project = :project;

-- name: list_runs
-- In the order of their fences, which is the order in which they began.
SELECT r.* FROM linkage.link_run AS r WHERE r.project = :project ORDER BY r.fence;

-- name: read_estimates
-- What a run said of its own matches, without any truth.
SELECT q.measure, q.estimator, q.value, q.low, q.high, q.basis FROM linkage.quality_estimate AS q
 WHERE q.run_id = :run_id ORDER BY q.measure, q.custodian_a, q.custodian_b, q.estimator;

-- name: try_lock
SELECT pg_catalog.pg_try_advisory_lock(:key);
