-- People who do not exist: told by custodians, read when a night has been unsealed.

-- name: seal_people
SELECT content.seal_people(:run_id, :as_of, CAST(:people AS jsonb), :event);

-- name: read_unsealed
SELECT u.custodian_a, u.custodian_b, u.sealed_a, u.sealed_b, u.null_a, u.null_b, u.null_matched_a, u.null_matched_b,
       u.canary_pairs, u.canary_matches, u.matches_left,
       (SELECT min(d.row_count) FROM linkage.run_delivery AS x JOIN linkage.delivery AS d USING (manifest_sha256)
         WHERE x.run_id = u.run_id AND d.custodian = u.custodian_a) AS rows_a,
       (SELECT min(d.row_count) FROM linkage.run_delivery AS x JOIN linkage.delivery AS d USING (manifest_sha256)
         WHERE x.run_id = u.run_id AND d.custodian = u.custodian_b) AS rows_b
  FROM linkage.unsealed AS u WHERE u.run_id = :run_id ORDER BY u.custodian_a, u.custodian_b;

-- name: record_unsealed
SELECT linkage.record_unsealed(:run_id, :fence, CAST(:estimates AS jsonb));
