-- What an auditor reads.

-- name: read_entries
SELECT sequence, entry FROM audit.event ORDER BY sequence;

-- name: read_nodes
SELECT level, position, hash FROM audit.node;

-- name: read_links_of_run
-- The link table as the run published it: opened by it or before, and closed after it or never. Within a project
-- fences order the publications.
-- More than two custodians are named with each link, as its digest covers them then.
SELECT l.record_a::text, l.record_b::text, l.decision, l.score_band, l.passes_agreed,
       CASE WHEN cardinality(r.custodians) > 2 THEN ARRAY[l.custodian_a, l.custodian_b] ELSE '{}' END AS custodians
  FROM linkage.link_run AS r
  JOIN linkage.link AS l ON l.project = r.project
  JOIN linkage.link_run AS opened ON opened.run_id = l.opened_by_run
  LEFT JOIN linkage.link_run AS closed ON closed.run_id = l.closed_by_run
 WHERE r.run_id = :run_id AND opened.fence <= r.fence AND (closed.fence IS NULL OR closed.fence > r.fence)
 ORDER BY l.record_a, l.record_b;

-- name: read_entities_of_run
-- Who was whom as the run published it, as for links.
SELECT m.entity_id::text, m.custodian, m.record::text
  FROM linkage.link_run AS r
  JOIN linkage.entity_member AS m ON m.project = r.project
  JOIN linkage.link_run AS opened ON opened.run_id = m.opened_by_run
  LEFT JOIN linkage.link_run AS closed ON closed.run_id = m.closed_by_run
 WHERE r.run_id = :run_id AND opened.fence <= r.fence AND (closed.fence IS NULL OR closed.fence > r.fence)
 ORDER BY m.entity_id, m.record;

-- name: read_buried_of_run
-- Leaves of rows of the run's tables that were erased, or expired, since.
SELECT CASE WHEN cardinality(r.custodians) > 2 THEN t.leaf_named ELSE t.leaf END AS leaf
  FROM linkage.link_run AS r
  JOIN linkage.tombstone AS t ON t.project = r.project AND t.from_fence <= r.fence AND t.until_fence > r.fence
 WHERE r.run_id = :run_id AND t.kind = :kind;

-- name: count_buried
SELECT t.project, t.kind, count(*) AS count FROM linkage.tombstone AS t GROUP BY t.project, t.kind;

-- name: read_publications
-- Published runs, in the order of their audit events; NULL where a run has lost its event.
SELECT r.run_id, r.project, r.as_of, r.fence, r.protocol_version, r.protocol_fingerprint, r.key_epoch, r.code_version,
       r.counts, r.audit_sequence, r.audit_event_hash
  FROM linkage.link_run AS r WHERE r.status = 'published' ORDER BY r.audit_sequence, r.run_id;

-- name: read_head_runs
SELECT p.project, p.head_run FROM linkage.project AS p ORDER BY p.project;

-- name: read_deliveries_of_run
SELECT d.manifest_sha256, d.custodian, d.run_id, d.sequence, d.as_of, d.row_count, d.protocol_fingerprint,
       d.key_check_value, d.code_version
  FROM linkage.run_delivery AS u JOIN linkage.delivery AS d USING (manifest_sha256)
 WHERE u.run_id = :run_id ORDER BY d.custodian;
