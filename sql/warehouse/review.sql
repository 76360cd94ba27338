-- Held nights, their approval, and clerical review. Writing goes through the functions of schema/review_functions.sql.

-- name: recent_shapes
SELECT r.counts -> 'custodians' AS custodians FROM linkage.link_run AS r
 WHERE r.project = :project AND r.status = 'published' AND r.protocol_fingerprint = :protocol_fingerprint
   AND r.run_id <> :run_id ORDER BY r.fence DESC LIMIT :most;

-- name: approvals
SELECT a.person::text FROM review.approval AS a
 WHERE a.run_id = :run_id AND a.findings_sha256 = :findings_sha256 ORDER BY a.audit_sequence;

-- name: hold_night
SELECT linkage.hold_night(:run_id, :fence, :findings_sha256, CAST(:findings AS jsonb), :event);

-- name: held_nights
SELECT h.* FROM review.held_nights() AS h;

-- name: approve_night
SELECT review.approve_night(:run_id, :findings_sha256, :reason, :event);

-- name: queue_pairs
SELECT linkage.queue_pairs(:run_id, :fence, CAST(:pairs AS jsonb));

-- name: open_pairs
SELECT p.* FROM review.open_pairs(:project, :most) AS p;

-- name: project_of_pair
SELECT review.project_of_pair(:pair_id);

-- name: decide_pair
SELECT review.decide_pair(:pair_id, :verdict, :reason, :event);

-- name: verdicts
SELECT v.custodian_a, v.record_a::text, v.custodian_b, v.record_b::text, v.person, v.verdict, v.decision
  FROM review.verdicts(:project) AS v ORDER BY v.decision;

-- name: who_am_i
SELECT session_user::text;
